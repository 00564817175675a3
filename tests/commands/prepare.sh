#!/usr/bin/env bash
# evengrad prepare: every form of input, what it prints, what it refuses, memory on a large corpus.
# usage: prepare.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"
novel=$source_dir/data/moby-dick.txt

# prepares OUTPUT TEXT... -- ARGUMENTS...: it succeeds and says each TEXT.
prepares() {
    local output=$1 texts=()
    shift
    while [ "$1" != -- ]; do
        texts+=("$1")
        shift
    done
    shift
    succeeds 0 prepare --output "$output" "$@"
    local text
    for text in "${texts[@]}"; do says "$text"; done
    grep -q '^reading ' out && fail "$last: a progress line within ten seconds"
    grep -q $'\r\|\e' out && fail "$last: control characters though there is no terminal"
}
# same A B: two files hold the same tokens, weights and documents.
same() {
    [ "$(digest_of "$1")" = "$(digest_of "$2")" ] || fail "$1 and $2 differ"
    [ "$(digest_of "$1")" != "no digest" ] || fail "$1: no digest"
}

# ------------------------------------------------------------------------------- forms of input
printf 'One line.\n\nAnother line,\nand its second.\n\n\nThe end.' > text.txt
printf '%s\n' '{"text": "plain"}' '{"prompt": "2+2=", "completion": "4"}' \
    '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}' \
    '{"text": "light", "weight": 0.25}' > mixed.jsonl
printf '%s\n' '{"input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8]}' '{"input_ids": [1, 2]}' \
    > ids.jsonl
gzip -k text.txt mixed.jsonl

prepares text.h5 "documents  1 from 1 file" "tokens     53, 52" "byte, 257 tokens" -- --input text.txt
prepares lines.h5 "documents  4 from 1 file" -- --input text.txt --documents line
prepares blank.h5 "documents  3 from 1 file" -- --input text.txt --documents blank-line
prepares mixed.h5 "documents  4 from 1 file" -- --input mixed.jsonl
prepares ids.h5 "documents  2 from 1 file" "ids, 100 tokens" -- \
    --input ids.jsonl --tokenizer ids:100:99
prepares both.h5 "documents  5 from 2 files" -- --input mixed.jsonl text.txt
prepares twice.h5 "documents  5 from 2 files" -- --input mixed.jsonl --input text.txt
same both.h5 twice.h5
prepares textgz.h5 -- --input text.txt.gz
same text.h5 textgz.h5
prepares mixedgz.h5 -- --input mixed.jsonl.gz
same mixed.h5 mixedgz.h5
prepares named.h5 -- --input mixed.jsonl --format jsonl --message-loss all
[ "$(digest_of named.h5)" != "$(digest_of mixed.h5)" ] || fail "--message-loss all changes nothing"

# Standard input.
"$evengrad" prepare --input - --format jsonl --output stdin.h5 < mixed.jsonl > out 2> err ||
    fail "standard input: $(cat err)"
same mixed.h5 stdin.h5
zcat text.txt.gz | "$evengrad" prepare --input - --format text --output pipe.h5 > out 2> err ||
    fail "a pipe: $(cat err)"
same text.h5 pipe.h5

# Token shards: llm.c's header of 256 int32, nanoGPT's without one.
/usr/bin/python3 - << 'PYTHON'
import struct
tokens = [50256, 10, 20, 30, 50256, 40, 50]
open("llmc.bin", "wb").write(struct.pack("<256i", 20240520, 1, len(tokens), *[0] * 253)
                             + struct.pack(f"<{len(tokens)}H", *tokens))
open("nanogpt.bin", "wb").write(struct.pack(f"<{len(tokens)}H", *tokens))
PYTHON
prepares llmc.h5 "documents  2 from 1 file" -- --input llmc.bin --tokenizer ids:50257:50256
prepares nanogpt.h5 -- --input nanogpt.bin --tokenizer ids:50257:50256
same llmc.h5 nanogpt.h5

# --------------------------------------------------------------------------------------- masks
prepares masks.h5 "<end>[plain<end>]" "<end>2+2=[4<end>]" "hello" "<end>[light<end>]*0.25" \
    "in [brackets]" "mixed.jsonl line 4, 7 tokens" -- --input mixed.jsonl --show-masks 9
[ "$(grep -c '^--- ' out)" = 4 ] || fail "$last: not every document is shown once"
last="--show-masks of standard input"
"$evengrad" prepare --input - --format jsonl --output piped.h5 --show-masks 1 < mixed.jsonl > out 2> err ||
    fail "$last: $(cat err)"
says "--- standard input line 1, "
if command -v script > /dev/null; then
    script -qc "'$evengrad' prepare --input mixed.jsonl --output term.h5 --show-masks 2" /dev/null \
        > out 2> err < /dev/null
    last="on a terminal"
    says "2+2="$'\e[32m'"4<end>"$'\e[0m'
fi

# What a file's name or text has a terminal do, it doesn't.
printf 'plain\033[2Jtext' > $'e\e[2Jvil.txt'
prepares evil.h5 'e\x1b[2Jvil.txt line 1' 'plain\x1b[2Jtext' -- --input $'e\e[2Jvil.txt' --show-masks 1
succeeds 0 inspect evil.h5
says 'e\x1b[2Jvil.txt'

# ----------------------------------------------------------------------------- SentencePiece
prepares bpe.h5 "trained    sentencepiece" "2000 tokens" "bpe.model" -- \
    --input "$pairs" --train-tokenizer bpe:2000
prepares again.h5 -- --input "$pairs" --tokenizer sentencepiece:bpe.model
same bpe.h5 again.h5
prepares unigram.h5 "1500 tokens" -- --input "$novel" --train-tokenizer unigram:1500
prepares other.h5 -- --input "$pairs" --train-tokenizer bpe:2000
cmp -s bpe.model other.model || fail "the same text gave two models"
succeeds 0 inspect bpe.h5
says "documents  2000 from 1 file"
says "2000         "
says "$pairs"
same bpe.h5 bpe.h5

# ------------------------------------------------------------------------------------- refusals
refuses_prepare() {
    local code=$1 text=$2
    shift 2
    refuses "$code" 0 "$text" -- prepare "$@"
    [ ! -e no.h5 ] && [ ! -e no.h5.tmp ] && [ ! -e no.model ] || fail "$last: left something behind"
}
refuses 2 0 "2 problems" "--input is missing" "--output is missing" -- prepare
refuses_prepare 2 "must end in .h5" --input text.txt --output no.bin
refuses_prepare 2 "--format can be auto, text, jsonl, tokens" --input text.txt --output no.h5 --format csv
refuses_prepare 2 "--documents can be file, line, blank-line" --input text.txt --output no.h5 \
    --documents page
refuses_prepare 2 "contradict each other" --input text.txt --output no.h5 \
    --tokenizer byte --train-tokenizer bpe:2000
refuses_prepare 2 "has no name that tells its --format" --input - --output no.h5
refuses_prepare 2 "- can be there once" --input - - --output no.h5 --format text
refuses_prepare 2 "reads the input twice" --input - --output no.h5 --format text \
    --train-tokenizer bpe:2000
refuses_prepare 2 "must be bpe:TOKENS or unigram:TOKENS, not 'word:9'" --input text.txt --output no.h5 \
    --train-tokenizer word:9
refuses_prepare 1 "none.txt: there is no such file" --input text.txt none.txt --output no.h5
refuses_prepare 2 "unknown kind of data file" --input /etc/hostname --output no.h5
mkdir folder folder.txt
for folder in folder folder.txt; do
    refuses_prepare 1 "$folder: is a folder, not a file" --input text.txt $folder --output no.h5
done
refuses_prepare 2 "a vocabulary must be between 512 and 1000000" --input text.txt --output no.h5 \
    --train-tokenizer bpe:511
refuses 1 0 "--output none/x.h5: files can't be made in none: No such file" "mkdir -p none" -- \
    prepare --input text.txt --output none/x.h5 --train-tokenizer bpe:2000
refuses_prepare 1 "text.txt/x.h5: files can't be made in text.txt: Not a directory" \
    --input text.txt --output text.txt/x.h5
refuses_prepare 2 "no such tokenizer" --input text.txt --output no.h5 --tokenizer words
refuses_prepare 1 "there is no such file" --input text.txt --output no.h5 \
    --tokenizer sentencepiece:none.model
refuses_prepare 1 "not a SentencePiece model" --input text.txt --output no.h5 \
    --tokenizer sentencepiece:text.txt
refuses_prepare 1 "the text gives" --input "$pairs" --output no.h5 --train-tokenizer bpe:900000
refuses 1 0 "the text gives 327 tokens only" "or --tokenizer byte" -- prepare \
    --input text.txt --output no.h5 --train-tokenizer bpe:8000
refuses_prepare 1 "the text gives 281 tokens only" --input text.txt --output no.h5 --train-tokenizer unigram:1000
printf '{"text": "one"}\n{"text": "two"\n' > broken.jsonl
refuses_prepare 1 "broken.jsonl line 2, byte" --input text.txt broken.jsonl --output no.h5
refuses_prepare 2 "token ids of another tokenizer" --input nanogpt.bin --output no.h5
before=$(digest_of text.h5)
refuses 1 0 "text.h5 is there already" "--overwrite replaces it" -- \
    prepare --input mixed.jsonl --output text.h5
refuses 1 0 "broken.jsonl line 2" -- prepare --input broken.jsonl --output text.h5 --overwrite
[ "$(digest_of text.h5)" = "$before" ] || fail "a refused prepare changed the earlier file"
succeeds 0 prepare --input mixed.jsonl --output text.h5 --overwrite
same text.h5 mixed.h5
head -c 20000 bpe.h5 > cut.h5
refuses 1 0 "cut.h5" -- inspect cut.h5

# A full disk: said so, nothing left behind.
mkdir disk
if [ "$(id -u)" != 0 ] || ! mount -t tmpfs -o size=4m tmpfs disk 2> err; then
    echo "a full disk: not tried, making one takes root"
else
    trap 'umount "$scratch/disk"; rm -rf "$scratch"' EXIT
    # The first doesn't have room for the tokens, the second none for the file.
    for documents in 4 1; do
        for ((i = 0; i < documents; ++i)); do cat "$novel"; done > many.txt
        refuses 1 0 "hint: free some disk space" -- prepare --input many.txt --output disk/full.h5
        [ -z "$(ls disk)" ] || fail "the full disk: $(ls disk) stays"
    done
    umount disk
    trap 'rm -rf "$scratch"' EXIT
fi

refuses 2 0 "--documents means nothing: no --input is text" -- \
    prepare --input mixed.jsonl --output x.h5 --documents line
refuses 2 0 "--message-loss means nothing: no --input is JSONL" -- \
    prepare --input text.txt --output x.h5 --message-loss all

# ------------------------------------------------------------------------------- a large corpus
# 40 MB within 200 MB of memory: bytes, and the training of a tokenizer with its child process.
# (The novel's lines again and again, each time with another word in them.)
for i in $(seq 34); do sed "s/ the / t$i /" "$novel"; done > large.txt
[ "$(stat -c %s large.txt)" -gt 40000000 ] || fail "the corpus is too small"
memory_of() {
    timeout -k 5 500 /usr/bin/python3 - "$evengrad" "$@" << 'PYTHON'
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=open("out", "w"), stderr=open("err", "w")).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024 if code == 0 else 999999)
PYTHON
}
for tokenizer in "--tokenizer byte" "--train-tokenizer bpe:4000"; do
    # shellcheck disable=SC2086 # two words
    memory=$(memory_of prepare --input large.txt --output large.h5 --overwrite $tokenizer)
    [ "$memory" -lt 200 ] || fail "$tokenizer: $memory MB of memory: $(cat err)"
    said=$(sed -nE 's/.*at most ([0-9.]+) MB of memory.*/\1/p' out)
    [ "${said%.*}" -lt 200 ] || fail "$tokenizer: says it took $said MB"
    echo "$tokenizer: $memory MB; $(tail -1 out)"
done

# The process that trains ends with the one that it trains for, even when it can do nothing itself.
last="prepare --train-tokenizer, ended while it trains"
"$evengrad" prepare --input large.txt --output ended.h5 --train-tokenizer unigram:32000 > out 2> err &
parent=$!
child_of_parent() { child=$(cat "/proc/$parent/task/$parent/children") && [ -n "$child" ]; }
if until_true child_of_parent; then
    child=${child% }
    kill -STOP "$child"
    kill -TERM $parent
    wait $parent 2> err
    is_gone() { ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$child/status" 2> /dev/null; }
    until_true is_gone || kill -KILL "$child"
fi
finish
