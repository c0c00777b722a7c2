"""Coverage by enumeration: of an operation that docs/conformance.md calls built, a call that succeeds and one that is
refused are made by a test here, or it stands in a list below. Runs last, and judges only a run of the whole suite."""

import pytest
from harness import calls_answered, calls_refused
from test_protocol import operations
from test_refusals import NEVER_REFUSED

# (service, operation) that no client test calls with success, each with the reason.
ELSEWHERE = set()


def test_each_built_operation_is_called(request):
    ran = {item.path.name for item in request.session.items}
    if not {"test_protocol.py", "test_boto3_lifecycle.py", "test_operations.py", "test_refusals.py"} <= ran:
        pytest.skip("only a run of the whole suite can tell")
    built = {name for name, built in operations().items() if built}
    assert built, "docs/conformance.md lists nothing as built"
    uncalled = sorted(f"{service}:{name}" for service, name in built - calls_answered - ELSEWHERE)
    assert not uncalled, f"built, and called with success by no test: {uncalled}"
    unrefused = sorted(f"{service}:{name}" for service, name in built - calls_refused - NEVER_REFUSED)
    assert not unrefused, f"built, and no test has it refused: {unrefused}"
