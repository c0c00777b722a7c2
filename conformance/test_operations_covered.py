"""Coverage by enumeration: an operation that docs/conformance.md calls built is called by a test here, or stands in
the list below. Runs last, and judges only a run of the whole suite."""

import pytest
from harness import calls_made
from test_protocol import operations

# (service, operation) that no client test calls, each with the reason.
ELSEWHERE = set()


def test_each_built_operation_is_called(request):
    ran = {item.path.name for item in request.session.items}
    if not {"test_protocol.py", "test_boto3_lifecycle.py", "test_operations.py"} <= ran:
        pytest.skip("only a run of the whole suite can tell")
    built = {name for name, built in operations().items() if built}
    assert built, "docs/conformance.md lists nothing as built"
    uncalled = sorted(f"{service}:{name}" for service, name in built - calls_made - ELSEWHERE)
    assert not uncalled, f"built, and called by no test: {uncalled}"
