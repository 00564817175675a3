#!/usr/bin/env bash
# What --data can be: raw and prepared files give the same run, several files are mixed by share, any
# tokenizer's tokens are trained on and generated from, data may be larger than memory, and a damaged
# file ends the run with its name.
# usage: data.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"
novel=$source_dir/data/moby-dick.txt

job=(train --train-iters 6 "${tiny[@]}" --overwrite --save run)

# digest_after RANKS ARGUMENTS...: of a short run on these data.
digest_after() {
    local ranks=$1
    shift
    succeeds "$ranks" "${job[@]}" "$@"
    digest=$(digest_of run)
}

# ------------------------------------------------------------------- raw or prepared: the same run
succeeds 0 prepare --input "$pairs" --output pairs.h5
succeeds 0 prepare --input "$novel" --output novel.h5
gzip -c "$pairs" > pairs.jsonl.gz
digest_after 0 --data "$pairs" --valid-fraction 0.02
reference=$digest
digest_after 2 --data pairs.h5 --valid-fraction 0.02
[ "$digest" = "$reference" ] || fail "the prepared file gives another run"
digest_after 1 --data pairs.jsonl.gz --valid-fraction 0.02
[ "$digest" = "$reference" ] || fail "the compressed file gives another run"
succeeds 3 "${job[@]}" --data pairs.h5 --valid-fraction 0.02 --train-iters 3 --save half
succeeds 2 "${job[@]/--overwrite/--resume}" --data "$pairs" --valid-fraction 0.02 --save half
grep -q '"step":6,' half/metrics.jsonl || fail "a run on prepared data isn't resumed on the raw ones"

# ------------------------------------------------------------------------- several files, by share
digest_after 1 --data pairs.h5:3 novel.h5:1
reference=$digest
for layout in "2 0" "3 1" "4 2"; do
    read -r ranks per_node <<< "$layout"
    digest_after "$ranks" --data "$pairs:3" novel.h5:1 --ranks-per-node "$per_node"
    [ "$digest" = "$reference" ] || fail "$last: another digest"
done
digest_after 1 --data pairs.h5 novel.h5
[ "$digest" != "$reference" ] || fail "shares change nothing"
refuses 2 0 "1 of 2 data files have a share" -- "${job[@]}" --data pairs.h5:3 novel.h5
refuses 2 0 "a share must be above 0" -- "${job[@]}" --data pairs.h5:0 novel.h5:1
refuses 2 0 "--valid-data: a share means nothing" -- \
    "${job[@]}" --data pairs.h5 --valid-data novel.h5:1

# ---------------------------------------------------------------------------------- any tokenizer
succeeds 0 prepare --input "$pairs" --output pieces.h5 --train-tokenizer bpe:600
succeeds 2 "${job[@]}" --data pieces.h5
succeeds 0 inspect run
says "vocabulary 600"
succeeds 0 generate --checkpoint run --prompt "Define" --max-new-tokens 8
says "Define"
# Raw files beside prepared ones get their tokenizer.
succeeds 1 "${job[@]}" --data pieces.h5 --valid-data "$novel"
refuses 1 0 "other tokens" "sentencepiece" "byte" -- "${job[@]}" --data pieces.h5 pairs.h5
refuses 1 0 "another tokenizer" "prepare the file again" "where --tokenizer asked for it" -- \
    "${job[@]}" --data pieces.h5 --tokenizer byte
printf '{"input_ids": [%s, 299], "labels": [-100, %s, 299]}\n' "$(seq -s, 3 40)" "$(seq -s, 4 40)" \
    > ids.jsonl
succeeds 2 "${job[@]}" --data ids.jsonl --tokenizer ids:300:299
succeeds 0 generate --checkpoint run --prompt "3 4 5" --max-new-tokens 4
grep -qE '^3 4 5( [0-9]+)+ *$' out || fail "$last: no ids came out"
refuses 1 0 "--prompt: 'hello' is not a token of 'ids' (0 to 299)" "numbers only, such as '3 4 5'" -- \
    generate --checkpoint run --prompt hello
! grep -q -e --tokenizer err || fail "$last: generate has no --tokenizer"

# --------------------------------------------------------------------------- larger than memory
# 40 MB more of text are 240 MB more of tokens and weights; the run may not take 40 MB more.
for i in $(seq 34); do sed "s/ the / t$i /" "$novel"; done > large.txt
succeeds 0 prepare --input large.txt --output large.h5
small_memory=$(memory_of "${job[@]}" --data novel.h5 --sequences stream)
large_memory=$(memory_of "${job[@]}" --data large.h5 --sequences stream)
echo "memory: $small_memory MB with the novel, $large_memory MB with 34 of it"
[ $((large_memory - small_memory)) -lt 40 ] || fail "large data take $large_memory MB of memory"

# ------------------------------------------------------------------------------- a damaged file
/usr/bin/python3 - << 'PYTHON'
import h5py
with h5py.File("novel.h5") as f:
    place = f["tokens"].id.get_offset() + 2 * 700_000
with open("novel.h5", "r+b") as f:
    f.seek(place)
    f.write(b"\x01")
PYTHON
refuses 1 2 "novel.h5: tokens 655360 to 720895 (piece 10)" "checksum" "prepare it again" \
    "--tokenizer byte --output novel.h5" -- \
    "${job[@]}" --data novel.h5 --sequences stream --seq-length 64 --global-batch-size 20000
finish
