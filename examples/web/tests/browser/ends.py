"""What a page does when its connection, its server or itself goes away and comes back: nobody reloads it."""

import chromium
from support import Failure
from webdriver import ENTER

KEPT = 256  # messages of a topic, as the server has it unless told otherwise
GONE = "older messages are gone"


def chats(windows, url, marks):
    """The chat in all windows, each with these lines."""
    for number in windows.all():
        windows.open(number, url + "/chat")
        for mark in marks:
            windows.shows(number, mark, "#log")


def same(windows, expected, what, numbers=None):
    """These windows, or all, show these lines and no others."""
    for number in numbers or windows.all():
        windows.shows(number, expected[-1], "#log")
        shown = windows.log(number)
        if shown != expected:
            at = next((at for at, pair in enumerate(zip(shown, expected)) if pair[0] != pair[1]), min(len(shown), len(expected)))
            raise Failure(f"window {number} after {what} shows {len(shown)} lines of {len(expected)}, and from line {at} on "
                          f"{shown[at:at + 3]}, not {expected[at:at + 3]}")


def restart(windows, server):
    """A graceful end and a start, with --snapshot: nothing is missing, and what was said meanwhile arrives once."""
    server.stop()
    server.start(snapshot=True)
    chats(windows, server.url, [])
    windows.type(0, "#message", "before" + ENTER)
    same(windows, ["before"], "the first message")
    server.stop()
    for number in windows.all():
        windows.is_offline(number)
    windows.type(0, "#message", "said offline" + ENTER)
    windows.shot(0, "offline")
    server.start(snapshot=True)
    same(windows, ["before", "said offline"], "the restart")


def restart_without_snapshot(windows, server):
    """The history goes with the server, and that is told."""
    chats(windows, server.url, ["said offline"])
    server.stop()
    for number in windows.all():
        windows.is_offline(number)
    server.start()
    for number in windows.all():
        windows.shows(number, GONE, "#log")
    windows.type(1, "#message", "in the new epoch" + ENTER)
    same(windows, ["before", "said offline", GONE, "in the new epoch"], "the restart")


def kill(windows, server):
    lost(windows, server, snapshot=False)


def kill_with_snapshot(windows, server):
    """A kill writes no snapshot; and the one of the last graceful end, which is old by now, is not taken up again."""
    server.stop()
    server.start(snapshot=True)
    lost(windows, server, snapshot=True)


def lost(windows, server, snapshot):
    """After a kill each page says so, or shows how things are now."""
    chats(windows, server.url, [])
    windows.type(0, "#message", "said before the kill" + ENTER)
    windows.shows(0, "said before the kill", "#log")
    windows.open(1, server.url + "/auction")
    windows.until(1, "document.querySelector('.price').textContent === '0'")
    windows.click(1, "#lots section:nth-child(1) button")
    windows.until(1, "document.querySelector('.price').textContent !== '0'")
    windows.open(2, server.url + "/text")
    windows.type(2, "#text", "still here")
    windows.shows(2, "still here", "#lines")
    server.kill()
    for number in windows.all():
        windows.is_offline(number)
    server.start(snapshot=snapshot)
    for number in windows.all():
        windows.is_open(number)
    windows.shows(0, GONE, "#log")
    windows.type(0, "#message", "after the kill" + ENTER)
    windows.shows(0, "after the kill", "#log")
    windows.until(1, "document.querySelector('.price').textContent === '0'")
    windows.shows(1, "no bid yet", "#lots section:nth-child(1)")
    # Who types says it again, since the server has forgotten it: another window, which comes now, sees it.
    windows.open(1, server.url + "/text")
    windows.shows(1, "still here", "#lines")


def cable(windows, server, network):
    """A network that is cut and comes back: what was said meanwhile is there, once and in order."""
    chats(windows, network.url, [])
    server.publish("chat", '"one"')
    for number in windows.all():
        windows.shows(number, "one", "#log")
    before = windows.log(0)
    network.cut()
    for number in windows.all():
        windows.is_offline(number)
    server.publish("chat", *(f'"while away {number}"' for number in range(40)))
    windows.type(0, "#message", "said offline here" + ENTER)
    network.mend()
    for number in windows.all():
        windows.is_open(number)
    same(windows, before + [f"while away {count}" for count in range(40)] + ["said offline here"], "the cut")


def dead(windows, server, network):
    """A network that swallows everything ends no connection. A page that learns that it is online again asks, and when no
    answer comes it does not wait for the browser to find out."""
    chats(windows, network.url, ["said offline here"])
    before = windows.log(0)
    network.swallow()
    server.publish("chat", '"unheard"')
    for number in windows.all():
        windows.script(number, "dispatchEvent(new Event('online'))")
    for number in windows.all():
        windows.is_offline(number)
        if windows.log(number) != before:
            raise Failure(f"window {number} hears through a dead network: {windows.log(number)}")
    network.mend()
    same(windows, before + ["unheard"], "a dead network")


def too_long(windows, server, network):
    """Away while more was said than is kept: the page says that something is missing, and shows what is kept."""
    chats(windows, network.url, ["unheard"])
    before = windows.log(0)
    network.cut()
    for number in windows.all():
        windows.is_offline(number)
    server.publish("chat", *(f'"line {number}"' for number in range(KEPT + 44)))
    network.mend()
    same(windows, before + [GONE] + [f"line {number}" for number in range(44, KEPT + 44)], "a long time away")


def sleep(windows, server):
    """Windows that the browser has frozen, as it does on telephones. They wake up, and have all of it."""
    chats(windows, server.url, [])
    before = windows.log(0)
    for number in (1, 2):
        windows.script(number, "window.frozen = 0; document.addEventListener('freeze', () => frozen++)")
        chromium.devtools(windows, number, "Page.setWebLifecycleState", state="frozen")
    said = [f"while asleep {number}" for number in range(100)]
    server.publish("chat", *(f'"{text}"' for text in said[:-1]))
    windows.type(0, "#message", said[-1] + ENTER)
    windows.shows(0, said[-1], "#log")
    for number in (1, 2):
        chromium.devtools(windows, number, "Page.setWebLifecycleState", state="active")
        if windows.script(number, "return window.frozen") != 1:
            raise Failure(f"window {number} was not frozen")
    same(windows, before + said, "sleep")


def long_sleep(windows, server):
    """Asleep while the server ends and starts, and more is said than is kept: awake, the page says so."""
    chats(windows, server.url, [])
    before = windows.log(1)
    chromium.devtools(windows, 1, "Page.setWebLifecycleState", state="frozen")
    server.kill()
    server.start()
    server.publish("chat", *(f'"new {number}"' for number in range(KEPT + 1)))
    chromium.devtools(windows, 1, "Page.setWebLifecycleState", state="active")
    same(windows, before + [GONE] + [f"new {number}" for number in range(1, KEPT + 1)], "a long sleep", [1])
