"""Files that a tool of the provider made, read by those who may read the conversation."""

from typing import Any

import httpx2
import pytest

from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from turnwire import Rejected, connect
from turnwire_simulator import Answer, ProviderTool, Simulator, Text

ANNA = {"Authorization": "Bearer anna"}
BERT = {"Authorization": "Bearer bert"}


def making(*files: str) -> Answer:
    made = [{"type": "bash_code_execution_output", "file_id": file} for file in files]
    ran = {"stdout": "", "stderr": "", "return_code": 0, "content": made}
    kind = {"type": "bash_code_execution_result"}
    return Answer(ProviderTool("bash_code_execution", {}, {**kind, **ran}), Text("Here."))


async def asked(http: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    """The answer of one turn."""
    headers = {**ANNA, "Accept": "application/json"}
    response = await http.post("/v1/chat", json={"content": "Plot", **fields}, headers=headers)
    answer: dict[str, Any] = response.json()
    assert response.status_code == 200, answer
    return answer


async def test_a_file_is_had_by_name_through_the_service(simulator: Simulator) -> None:
    file = simulator.files.keep(b"a,b\n", name="Tab é.csv", media_type="text/csv")
    simulator.program(making(file))
    async with serving(turnwire_over(simulator)) as address, asking(address) as http:
        answer = await asked(http)
        assert answer["blocks"][0]["result"]["files"] == [file]
        path = f"/v1/conversations/{answer['conversation']}/files/{file}"
        response = await http.get(path)
        async with connect(f"ws://{address}") as wire:
            data = await wire.download_file(answer["conversation"], file)
    assert response.content == data == b"a,b\n"
    headers = response.headers
    assert headers["content-type"] == "text/csv; charset=utf-8"
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''Tab%20%C3%A9.csv"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["x-content-type-options"] == "nosniff"


async def test_only_who_may_read_a_conversation_may_read_its_files(simulator: Simulator) -> None:
    ours, others = (simulator.files.keep(b"x") for _ in range(2))
    simulator.program(making(ours), Answer(Text("Ok.")))
    turnwire = turnwire_over(simulator, authenticate=by_name)
    async with serving(turnwire) as address, asking(address) as http:
        conversation = (await asked(http))["conversation"]
        other = (await asked(http, content="Hi"))["conversation"]

        async def status(file: str, headers: dict[str, str], id: str = conversation) -> int:
            path = f"/v1/conversations/{id}/files/{file}"
            return (await http.get(path, headers=headers)).status_code

        assert await status(ours, ANNA) == 200
        assert await status(ours, BERT) == 404
        assert await status(ours, {}) == 401
        # The operator's account has it, and this conversation does not.
        assert await status(others, ANNA) == 404
        assert await status(ours, ANNA, other) == 404
        assert await status(ours, ANNA, "c_none") == 404
        # One that was taken back names nothing any more.
        simulator.program(Answer(Text("Ok.")))
        first = (await http.get(f"/v1/conversations/{conversation}", headers=ANNA)).json()
        await asked(http, conversation=conversation, retract=first["turns"][0]["turn"])
        assert await status(ours, ANNA) == 404


async def test_what_cannot_be_had_is_said(simulator: Simulator) -> None:
    sealed = simulator.files.keep(b"x", is_downloadable=False)
    large = simulator.files.keep(b"x" * 1001)
    simulator.program(making("file_gone", sealed, large))
    limits = {"max_blob_bytes": 1000}
    async with serving(turnwire_over(simulator, limits=limits)) as address, asking(address) as http:
        conversation = (await asked(http))["conversation"]
        async with connect(f"ws://{address}") as wire:
            codes = []
            for file in ("file_gone", sealed, large, "file_never"):
                with pytest.raises(Rejected) as caught:
                    await wire.download_file(conversation, file)
                codes.append(caught.value.code)
    assert codes == ["not_found", "not_found", "too_large", "not_found"]


async def test_a_provider_that_is_away_is_named_as_what_it_is(simulator: Simulator) -> None:
    file = simulator.files.keep(b"x")
    simulator.program(making(file))
    turnwire = turnwire_over(simulator)
    async with serving(turnwire) as address, asking(address) as http:
        conversation = (await asked(http))["conversation"]
        simulator.files.is_away = True
        response = await http.get(f"/v1/conversations/{conversation}/files/{file}")
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "network_error"
