#!/usr/bin/env bash
# usage: h5web_check.sh FILES MODULES SCREENSHOTS
for needed in node chromium h5dump "$2/node_modules/@h5web/app/package.json"; do
    if ! command -v "$needed" > /dev/null && [ ! -e "$needed" ]; then
        echo "not tested: there is no $needed (launch/test --viewers installs what is needed)"
        [ "${EVENGRAD_VIEWERS:-0}" = 1 ] && exit 1
        exit 77
    fi
done
exec node "$(dirname "$0")/h5web_check.mjs" "$@"
