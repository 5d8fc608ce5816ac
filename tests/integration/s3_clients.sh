#!/usr/bin/env bash
# Real S3 clients against the gateway: trees by aws and rclone, a large multipart upload byte for byte, presigned URLs,
# refusals, and the gateway killed in the middle: what was acknowledged is there, what was not is old or absent, whole.
. "$(dirname "$0")/lib.sh"
need aws rclone curl
unset AWS_CA_BUNDLE  # rclone 1.60 cannot read it with its own transport
size=${CESS_S3_SIZE:-1G}

start_network
start_gateway
s3 s3 mb s3://bucket > /dev/null
remote=":s3,provider=Other,env_auth=true,endpoint='$endpoint':bucket"
tree=$work/tree
mkdir -p "$tree/deep/er" && cp -r /usr/include/linux "$tree/" && touch "$tree/empty"
printf 'odd\n' > "$tree/deep/er/a b+c%25&ü.txt"

say "a tree by aws and by rclone"
s3 s3 sync --quiet "$tree" s3://bucket/aws
s3 s3 sync --quiet s3://bucket/aws "$work/back"
diff -r "$tree" "$work/back" > /dev/null || fail "aws: the tree differs"
rclone --config /dev/null sync "$tree" "$remote/rclone" 2> "$work/rclone.log" || fail "rclone sync: $(tail -n 3 "$work/rclone.log")"
rclone --config /dev/null check "$tree" "$remote/rclone" 2> "$work/rclone.log" || fail "rclone check: $(tail -n 3 "$work/rclone.log")"

say "$size in parts"
head -c "$size" /dev/urandom > "$work/big"
s3 s3 cp --quiet "$work/big" s3://bucket/big
s3 s3 cp --quiet s3://bucket/big "$work/copy" && cmp "$work/big" "$work/copy" || fail "the multipart object differs"
s3 s3 cp --quiet s3://bucket/big s3://bucket/shared
rm "$work/copy"

say "presigned URLs, and requests that must be refused"
url=$(s3 s3 presign s3://bucket/empty-not --expires-in 60)
[ "$(curl -s -o /dev/null -w '%{http_code}' "$url")" = 404 ] || fail "a presigned URL of nothing is not 404"
url=$(s3 s3 presign s3://bucket/aws/deep/er/'a b+c%25&ü.txt' --expires-in 6)
[ "$(curl -s "$url")" = odd ] || fail "the presigned URL does not give the object"
sleep 7
curl -s "$url" | grep -q 'Request has expired' || fail "an expired URL is not refused"
curl -s "$endpoint/bucket/big" | grep -q AccessDenied || fail "an anonymous request is not refused"
if AWS_ACCESS_KEY_ID=CESSWRONG s3 s3 ls s3://bucket > /dev/null 2> "$work/err"; then fail "a wrong key is accepted"; fi
grep -q InvalidAccessKeyId "$work/err" || fail "a wrong key: $(cat "$work/err")"

say "the gateway killed while it writes"
for round in 1 2 3; do
    head -c 300000 /dev/urandom > "$work/sure.$round"
    s3 s3 cp --quiet "$work/sure.$round" "s3://bucket/sure.$round"
    (s3 s3 cp --quiet "$work/big" s3://bucket/half 2> /dev/null) & writer=$!
    sleep 2
    end_pid "$gateway_pid" KILL || fail "the gateway cannot be killed"
    start_gateway
    wait "$writer" || true
    for n in $(seq $round); do
        s3 s3 cp --quiet "s3://bucket/sure.$n" "$work/copy" && cmp -s "$work/copy" "$work/sure.$n" || fail "round $round: sure.$n is lost"
    done
done
s3 s3 cp --quiet s3://bucket/shared "$work/copy" && cmp "$work/big" "$work/copy" || fail "the shared copy differs after the crashes"
end_pid "$gateway_pid" || fail "cess-gateway does not end on SIGTERM"
start_gateway
s3 s3 rm --quiet --recursive s3://bucket
s3 s3 rb s3://bucket > /dev/null || fail "the empty bucket cannot be deleted"
say "ok"
