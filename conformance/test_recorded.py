"""Recorded AWS answers against the gateway, where the recordings lie beside the checkout.

recorded-floor.json says how many answers of each suite were equal when it was last raised: fewer is a step back.
"""

import json
import subprocess
import sys
from collections import Counter

import pytest
from function_urls import FunctionUrls
from harness import ROOT

REPLAY = ROOT.parent / "shared/reference/aws-recorded/replay.py"
FLOOR = ROOT / "conformance/recorded-floor.json"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("suite", ["api", "import", "common", "integrations", "lambda"])
def test_recorded_answers(gateway, tmp_path, suite):
    if not REPLAY.exists():
        pytest.skip(f"no recordings at {REPLAY}")
    out = tmp_path / "results.json"
    with FunctionUrls(gateway.control) as urls:
        done = subprocess.run(
            [sys.executable, REPLAY, "--control", gateway.control, "--traffic", gateway.traffic, "--files", suite,
             "--lambda", urls.address, "--aws", "made-up", "--json", out],
            capture_output=True, text=True, timeout=850,
        )  # fmt: skip
    assert out.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    answers = json.loads(out.read_text())["answers"]
    if not answers and not json.loads(FLOOR.read_text())[suite]:
        pytest.skip(f"every scenario of {suite} needs what is not built yet")
    counts = Counter(not answer["differences"] for answer in answers)
    passed, floor = counts[True], json.loads(FLOOR.read_text())[suite]
    print(f"{suite}: {passed} of {len(answers)} recorded answers are equal (floor {floor})")
    assert passed >= floor, done.stdout[-6000:]
    if passed > floor:
        print(f"raise {FLOOR.name}: {suite} is at {passed}")
