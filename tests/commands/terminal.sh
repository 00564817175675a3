#!/usr/bin/env bash
# What moves on a terminal: it fits, is drawn in place, and leaves no mess. In a pipe nothing moves.
# usage: terminal.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"
novel=$source_dir/data/moby-dick.txt

# on_terminal COLUMNS COMMAND...: what the command sends to a terminal of that width, in the file
# `sent`; what stays on its screen, in `out`.
on_terminal() {
    last="on a terminal: $*"
    timeout -k 5 60 /usr/bin/python3 - "$@" << 'PYTHON' || fail "$last: $?"
import fcntl, os, pty, re, struct, subprocess, sys, termios

master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, int(sys.argv[1]), 0, 0))
process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
os.close(slave)
sent = b""
while True:
    try:
        part = os.read(master, 65536)
    except OSError:  # the other end is closed
        break
    if not part:
        break
    sent += part
sent = sent.decode().replace("\r\n", "\n")
open("sent", "w").write(sent)
# What was drawn and then erased is gone.
open("out", "w").write(re.sub(r"[^\n]*\r\x1b\[K", "", sent))
sys.exit(process.wait())
PYTHON
}
# drawn: what was drawn in place, a line each (and lines that stay where it was erased).
drawn() {
    sed -E 's/\r\x1b\[K/\n@/g' sent | sed -n 's/^@//p'
}
# fits COLUMNS PATTERN: each matches it, and stays on its line.
fits() {
    [ "$(drawn | grep -cE "^$2\$")" -ge 2 ] || fail "$last: drawn less than twice: $(cat -v sent)"
    ! drawn | grep -E '^(step [0-9]+/|[0-9])' | grep -vE "^$2\$" || fail "$last: half a field"
    [ "$(drawn | grep -E "^$2\$" | wc -L)" -lt "$1" ] || fail "$last: too wide"
    [ "$(tr -d '\n\t' < out | tr -d '[:print:]' | wc -c)" = 0 ] || fail "$last: $(cat -v out)"
}

# Input that takes its time. A number that doesn't fit whole isn't there at all.
slow="for i in 1 2 3 4; do cat '$novel'; sleep 0.3; done | '$evengrad' prepare --input - --format text"
on_terminal 80 bash -c "$slow --output a.h5"
fits 80 '[0-9.]+ .?B  [0-9.]+ .?B/s  0 documents'
! grep -q ' documents$' out || fail "$last: the line stays"
says "documents  1 from 1 file"
on_terminal 20 bash -c "$slow --output b.h5"
fits 20 '[0-9.]+ .?B(  [0-9.]+ .?B/s)?'

job=(train --data "$pairs" --valid-fraction 0.02 "${tiny[@]}" --train-iters 60 --save-interval 20)
on_terminal 60 "$evengrad" "${job[@]}" --save run
fits 60 'step [0-9]+/60  loss [0-9.]+  grad norm [0-9.]+  lr [0-9e.-]+'
for text in "step 60/60  loss" "held-out loss" "saved run/step-00000020.h5" "done: step 60 of 60"; do
    [ "$(grep -cF "$text" out)" = 1 ] || fail "$last: '$text' isn't there once: $(cat out)"
done
on_terminal 60 mpirun --bind-to none --oversubscribe -n 2 "$evengrad" "${job[@]}" --save run2
drawn | grep -q '^step [0-9]*/60  loss' || fail "$last: nothing moves"
on_terminal 60 mpirun --bind-to none --oversubscribe -n 2 "$evengrad" evaluate --checkpoint run \
    --data "$pairs"
drawn | grep -q '^\[[#.]*\]' || fail "$last: no bar"
! grep -qE '^\[[#.]*\]' out || fail "$last: the bar stays"

succeeds 2 "${job[@]}" --save run3
! grep -q $'\r\|\e' out || fail "$last: control characters though there is no terminal"

# A text that would have the terminal do things is shown. (U+009B is "ESC [" in one.)
evil=$(printf 'a\033]0;mine\007\302\2332J')
on_terminal 80 "$evengrad" generate --checkpoint run --max-new-tokens 1 --prompt "$evil"
says 'a\x1b]0;mine\x07\xc2\x9b2J'
"$evengrad" generate --checkpoint run --max-new-tokens 1 --prompt "$evil" > out
grep -qF "$evil" out || fail "in a pipe the text isn't as it is"
finish
