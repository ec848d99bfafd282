"""Both serving protocols: whatever comes, it is answered, or refused with 400 in their form."""

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from tests.support.strategies import protocol_requests


@hypothesis_settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(protocol_requests())
async def test_any_request_of_a_protocol_is_answered_or_a_400_in_its_form(client, request_):
    path, headers, content = request_
    response = await client.post(path, headers=headers, content=content)
    assert response.status_code in (200, 400), response.text
    if response.status_code == 400:
        assert response.headers["content-type"] == "application/json"
        assert set(response.json()) == {"error"}
