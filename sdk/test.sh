#!/usr/bin/env bash
# The tests of the SDKs in Python and JavaScript, with their types. It needs python3 with venv, node with npm, chromium,
# go (the documentation's Go program is run too) and the package registries; everything is installed into a temporary folder.
#
# With KEYSTILE_TEST_SERVER and KEYSTILE_TEST_BANK both languages also call that server: see python/tests/test_server.py.
# With KEYSTILE_TEST_ONA they log in to it too: see python/tests/world.py.
# With KEYSTILE_TEST_BINARY the curl commands of the documentation are run: see python/tests/test_documentation.py.
# The last lines are the two counts. A language that fails, skips a test or runs none fails the run.
set -euo pipefail
cd "$(dirname "$0")"
unset PYTHONPATH NODE_OPTIONS

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What is imported is compiled, once, and no more; not beside the sources.
export PYTHONPYCACHEPREFIX="$work/pycache"
status=0

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'cryptography>=42' 'httpx==0.28.1' 'boto3==1.44.8' 'pytest==9.*' 'mypy==2.*'
npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix "$work" typescript@7.0.2

echo '== python'
(cd python && "$work/venv/bin/mypy" --cache-dir "$work/mypy") || status=1
(cd python && "$work/venv/bin/pytest" --quiet --junitxml "$work/pytest.xml") || status=1

echo '== javascript'
# The types that are published are made from the comments in the source.
"$work/node_modules/.bin/tsc" --project javascript/tsconfig.json --outDir "$work/types" || status=1
diff -r "$work/types" javascript/types || { echo 'javascript/types is old: npm run types' >&2; status=1; }
(cd javascript && node --test --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$work/node.tap") >"$work/node.out" 2>&1 || { cat "$work/node.out"; status=1; }

# counts LANGUAGE PASSED FAILED SKIPPED
counts() {
    echo "$1: $2 passed, $3 failed, $4 skipped"
    [ "$2" -gt 0 ] && [ "$3" -eq 0 ] && [ "$4" -eq 0 ] || status=1
}
attribute() { sed -n "s/.*<testsuite [^>]*\b$1=\"\([0-9]*\)\".*/\1/p" "$work/pytest.xml" 2>/dev/null | head -n 1; }
tap() { sed -n "s/^# $1 \([0-9]*\)$/\1/p" "$work/node.tap" 2>/dev/null | tail -n 1; }

ran=$(attribute tests) failures=$(attribute failures) errors=$(attribute errors) skipped=$(attribute skipped)
failed=$((${failures:-0} + ${errors:-0}))
counts python $((${ran:-0} - failed - ${skipped:-0})) "$failed" "${skipped:-0}"
passed=$(tap pass) failed=$(tap fail) cancelled=$(tap cancelled) skipped=$(tap skipped) todo=$(tap todo)
counts javascript "${passed:-0}" $((${failed:-0} + ${cancelled:-0})) $((${skipped:-0} + ${todo:-0}))
exit "$status"
