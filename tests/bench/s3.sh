#!/usr/bin/env bash
# The gateway in requests and bytes a second, over a development network of its own or an endpoint that is there:
#   CESS_BIN=build/release/bin tests/bench/s3.sh
#   AWS_ENDPOINT_URL=http://… AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… tests/bench/s3.sh
# GETs run in wrk over a presigned URL; PUTs in wrk too, over presigned URLs of one key a thread (a presigned URL names one key).
set -euo pipefail
if [ -n "${AWS_ENDPOINT_URL-}" ]; then
    endpoint=$AWS_ENDPOINT_URL work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    s3() { aws --endpoint-url "$endpoint" "$@"; }
else
    . "$(dirname "$0")/../integration/lib.sh"
    start_network
    start_gateway
fi
seconds=${SECONDS_EACH:-10} connections=${CONNECTIONS:-64}
export AWS_DEFAULT_REGION=us-east-1
s3 s3 mb s3://bench > /dev/null 2>&1 || true

# presign METHOD KEY: aws presigns GET only, so the few lines of SigV4 stand here.
presign() {
    python3 - "$1" "$2" "$endpoint" << 'P'
import datetime, hashlib, hmac, os, sys, urllib.parse
method, key, endpoint = sys.argv[1:]
access, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
scope = f"{now[:8]}/us-east-1/s3/aws4_request"
host = urllib.parse.urlsplit(endpoint).netloc
query = urllib.parse.urlencode(sorted({"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{access}/{scope}", "X-Amz-Date": now,
                                       "X-Amz-Expires": "3600", "X-Amz-SignedHeaders": "host"}.items()), quote_via=urllib.parse.quote, safe="")
canonical = f"{method}\n/bench/{key}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
k = ("AWS4" + secret).encode()
for part in (now[:8], "us-east-1", "s3", "aws4_request", text):
    k = hmac.new(k, part.encode(), hashlib.sha256).digest()
print(f"{endpoint}/bench/{key}?{query}&X-Amz-Signature={k.hex()}")
P
}
# run NAME METHOD SIZE CONNECTIONS: as many keys as connections.
run() {
    local urls=$work/urls i
    : > "$urls"
    for i in $(seq "$4"); do presign "$2" "$3-$i" >> "$urls"; done
    cat > "$work/run.lua" << L
local paths, n = {}, 0
for line in io.lines("$urls") do paths[#paths + 1] = line:match("^%a+://[^/]+(.*)") end
local body = "$2" == "PUT" and string.rep("x", $3) or nil
request = function() n = n % #paths + 1; return wrk.format("$2", paths[n], nil, body) end
L
    wrk -t2 -c"$4" -d"${seconds}s" --latency -s "$work/run.lua" "$endpoint" > "$work/out"
    awk -v name="$1" -v size="$3" '/Requests\/sec/ {r = $2} /99%/ {l = $2} /Non-2xx/ {bad = ", NOT 2xx: " $NF}
        END {printf "%-22s %9.0f requests/s %9.1f MB/s   p99 %s%s\n", name, r, r * size / 1e6, l, bad}' "$work/out"
}
run "PUT 4 KiB" PUT 4096 "$connections"
run "GET 4 KiB" GET 4096 "$connections"
run "PUT 1 MiB" PUT 1048576 8
run "GET 1 MiB" GET 1048576 8
