# Sourced by the other scripts: the repository's root becomes the working folder, and Open MPI,
# which refuses uid 0 by default, may run in a container. And what several of them use.
# shellcheck shell=bash
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." || exit 1

if [[ $EUID -eq 0 ]]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

show() {  # a command the way it would be typed
    local word line='$'
    for word in "$@"; do
        [[ $word =~ ^[[:alnum:]_./:=,@%+-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
        line+=" $word"
    done
    echo "$line"
}
