"""`stagedoor up examples/chat`: two clients, two pages of a browser, and a template that is edited while clients talk."""

import asyncio
import json
import shutil

import pytest
import websockets
from harness import ROOT, eventually
from test_browser import browser  # noqa: F401

JOIN = """
for (const [id, value] of [['name', arguments[0]], ['room', arguments[1]]]) document.getElementById(id).value = value;
document.querySelector('#join button').click();
"""
SAY = """
document.getElementById('text').value = arguments[0];
document.querySelector('#say button').click();
"""
SEEN = """
return [document.getElementById('people').textContent,
        [...document.querySelectorAll('#messages li')].map(line => line.textContent)];
"""


@pytest.fixture
def chat(new_gateway, tmp_path):
    project = tmp_path / "chat"
    shutil.copytree(ROOT / "examples/chat", project)
    gateway = new_gateway(str(project), command="up").start()
    gateway.project = project
    return gateway


def address(gateway, stage="dev"):
    return f"ws://127.0.0.1:{gateway.traffic_port}/_aws/execute-api/chat/{stage}"


async def ask(client, **message):
    await client.send(json.dumps(message))


async def told(client):
    return json.loads(await asyncio.wait_for(client.recv(), 10))


def test_rooms(chat):
    async def talk():
        url = address(chat)
        async with websockets.connect(url) as ada, websockets.connect(url) as eve:
            await ask(ada, action="say", text="anybody?")
            assert await told(ada) == {"error": "join a room first"}
            await ask(ada, action="join", room="tea", name="Ada")
            assert await told(ada) == {"people": ["Ada"]}
            async with websockets.connect(url) as bob:
                await ask(eve, action="join", room="coffee", name="Eve")
                assert await told(eve) == {"people": ["Eve"]}
                await ask(bob, action="join", room="tea", name="Bob")
                assert (await told(ada), await told(bob)) == ({"people": ["Ada", "Bob"]},) * 2
                await ask(bob, action="say", text="hello 👋")
                assert (await told(ada), await told(bob)) == ({"from": "Bob", "text": "hello 👋"},) * 2
            assert await told(ada) == {"people": ["Ada"]}
            # Another room: those who stay and those who were there are told.
            await ask(ada, action="join", room="coffee", name="Ada")
            assert (await told(ada), await told(eve)) == ({"people": ["Ada", "Eve"]},) * 2
            await eve.send("what now?")
            assert "help" in await told(eve)

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_two_pages_talk(chat, browser):  # noqa: F811
    page = f"http://chatpage.execute-api.localhost:{chat.traffic_port}/dev"
    handles = []
    for name in ("Ada", "Bob"):
        made = browser("window/new", type="tab")
        handles.append(made["handle"])
        browser("window", handle=made["handle"])
        browser("url", url=page)
        browser("execute/sync", script=JOIN, args=[name, "tea"])

    def seen(index):
        browser("window", handle=handles[index])
        return browser("execute/sync", script=SEEN, args=[])

    for index in (0, 1):
        eventually(lambda index=index: seen(index) == ["Here: Ada, Bob", []], 15, f"both in the page {index}")
    browser("window", handle=handles[0])
    browser("execute/sync", script=SAY, args=["hello, Bob"])
    for index in (0, 1):
        eventually(lambda index=index: seen(index)[1] == ["Adahello, Bob"], 15, f"the message in the page {index}")
    browser("window", handle=handles[1])
    browser("execute/sync", script=SAY, args=["<b>hello</b>, Ada"])
    eventually(lambda: seen(0)[1][1:] == ["Bob<b>hello</b>, Ada"], 15, "the answer")
    browser("window", handle=handles[1])
    browser("execute/sync", script="socket.close()", args=[])
    eventually(lambda: seen(0)[0] == "Here: Ada", 15, "that Bob has gone")


def test_an_edited_template_is_taken_anew_and_connections_stay(chat):
    template = chat.project / "template.yaml"
    text = template.read_text()

    async def talk():
        async with websockets.connect(address(chat)) as ada:
            await ask(ada, action="join", room="tea", name="Ada")
            assert await told(ada) == {"people": ["Ada"]}
            template.write_text(text.replace('{"help": "send', '{"usage": "send'))
            for _ in range(100):
                await ada.send("help")
                if "usage" in await told(ada):
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError("the template was not taken anew")
            # A mistake is told with its place, and what was served before stays.
            template.write_text(text.replace("RouteKey: join", "RouteKeys: join"))
            eventually(lambda: "JoinRoute.Properties.RouteKeys: " in chat.log(), 10, "the mistake in the log")
            await ask(ada, action="say", text="still here")
            assert await told(ada) == {"from": "Ada", "text": "still here"}
            # A function that is edited is another, with the table as it was.
            template.write_text(text)
            rooms = chat.project / "rooms.py"
            rooms.write_text(rooms.read_text().replace('"text": str(', '"edited": str('))
            for _ in range(100):
                await ask(ada, action="say", text="and now")
                if "edited" in await told(ada):
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError("the function was not taken anew")

    asyncio.run(asyncio.wait_for(talk(), 90))
    (event,) = [line for line in chat.log().splitlines() if "wscat" in line][:1]
    assert f"ws://chat.execute-api.localhost:{chat.traffic_port}/dev" in event
