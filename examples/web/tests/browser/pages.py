"""Each page, used as people do: by clicking and typing, in three windows. A check ends with the page as it is then."""

import webdriver
from support import Failure
from webdriver import ENTER

BACKSPACE = "\ue003"


def index(windows, server):
    windows.open(0, server.url + "/")
    windows.until(0, "/^[\\d.]+ MiB$/.test(document.getElementById('memory').textContent)")
    windows.until(0, "Number(document.getElementById('connections').textContent) > 0")
    windows.until(0, "/^\\d+$/.test(document.getElementById('rate').textContent)")
    windows.shot(0, "index")


def chat(windows, server):
    for number in range(2):
        windows.open(number, server.url + "/chat")
    windows.type(0, "#message", "first <b>bold</b> & \"quoted\"")
    windows.click(0, "#send")
    for number in range(2):
        windows.shows(number, "first <b>bold</b> & \"quoted\"", "#log")
    if windows.script(1, "return document.querySelectorAll('#log b').length") != 0:
        raise Failure("a message became markup")
    windows.type(1, "#message", "second" + ENTER)
    windows.shows(0, "second", "#log")
    # A newcomer gets all of it, in order.
    windows.open(2, server.url + "/chat")
    windows.shows(2, "second", "#log")
    if windows.log(2) != ["first <b>bold</b> & \"quoted\"", "second"]:
        raise Failure(f"the log of a newcomer: {windows.log(2)}")
    for number in range(3):
        windows.until(number, "document.querySelectorAll('#here li').length === 3")
    windows.shot(0, "chat")


def text(windows, server):
    for number in range(3):
        windows.open(number, server.url + "/text")
    for typed in ["h", "he", "hel", "help"]:
        windows.type(0, "#text", typed[-1])
        for number in range(3):
            windows.until(number, f"document.getElementById('lines').innerText.trim() === {typed!r}")
    windows.type(0, "#text", BACKSPACE)
    windows.type(1, "#text", "<i>world</i>")
    for number in range(3):
        windows.shows(number, "<i>world</i>", "#lines")
        windows.until(number, "[...document.querySelectorAll('#lines li')].some(line => line.innerText === 'hel')")
        windows.until(number, "document.querySelectorAll('#lines li').length === 2")
    windows.shot(0, "text")


def auction(windows, server):
    for number, name in enumerate(["Ann", "Bob", "<s>Eve</s>"]):
        windows.open(number, server.url + "/auction")
        windows.until(number, "document.querySelector('.price').textContent === '0'")
        windows.write_over(number, "#name", name + ENTER)
        windows.shows(number, name, "#here")
    lot = "#lots section:nth-child(2) "
    windows.click(0, lot + "button")
    for number in range(3):
        windows.shows(number, "Ann", lot)
        windows.until(number, f"document.querySelector({lot + '.price'!r}).textContent === '1'")
    windows.write_over(2, lot + "input", "1500" + ENTER)
    for number in range(3):
        windows.shows(number, "<s>Eve</s>", lot)
        windows.shows(number, "1,500", lot)
        windows.until(number, f"/\\d:\\d\\d left/.test(document.querySelector({lot!r}).innerText)")
    # Who has outbid others is offered the next amount.
    windows.until(2, f"document.querySelector({lot + 'input'!r}).value === '1501'")
    # What somebody is typing stays, though the price rises.
    windows.write_over(1, lot + "input", "3")
    windows.write_over(0, lot + "input", "1600" + ENTER)
    windows.shows(1, "1,600", lot)
    windows.until(1, f"document.querySelector({lot + 'input'!r}).value === '3'")
    # Too low: told why.
    windows.keys(1, ENTER)
    windows.shows(1, "stands at 1,600", "#told")
    windows.until(1, f"document.querySelector({lot + 'input'!r}).value === '1601'")
    windows.shot(0, "auction")


def compare(windows, server):
    windows.open(0, server.url + "/compare")
    windows.click(0, "#start")
    all_three_hear(windows, 0, 20)
    windows.shot(0, "compare")
    windows.click(0, "#start")


def all_three_hear(windows, number, count):
    for way in ["poll", "events", "socket"]:
        windows.until(number, f"Number(document.querySelector('#{way} [data-is=heard]').textContent) >= {count}")
        windows.until(number, f"/ms/.test(document.querySelector('#{way} [data-is=median]').textContent)")


def over_http1(windows, server):
    """What /compare says of HTTP/1.1: with three windows of it a seventh request waits, and sockets do not; but in Firefox a
    new one does until it is open."""
    windows.open(0, server.url + "/compare")
    windows.script(0, """
        window.socket = name => {
            const socket = new WebSocket(location.origin.replace("http", "ws") + "/echo");
            window[name] = { socket, heard: 0 };
            socket.onopen = () => socket.send("0");
            socket.onmessage = () => window[name].heard++;
        };
        socket("early");
    """)
    windows.until(0, "window.early.heard === 1")
    for number in range(3):
        if number > 0:
            windows.open(number, server.url + "/compare")
        windows.until(number, "performance.getEntriesByType('navigation')[0].nextHopProtocol === 'http/1.1'")
        windows.until(number, "Number(document.querySelector('#poll [data-is=requests]').textContent) >= 2")
        windows.until(number, "Number(document.querySelector('#events [data-is=requests]').textContent) === 1")
    windows.script(0, "window.seventh = 'waits'; fetch('/health').then(() => window.seventh = 'came'); socket('late')")
    # Meanwhile twenty messages go there and back.
    for count in range(20):
        windows.script(0, "window.early.socket.send('1')")
        windows.until(0, f"window.early.heard === {count + 2}")
    if windows.browser.name == "chromium":
        windows.until(0, "window.late.heard === 1")
    elif windows.script(0, "return window.late.socket.readyState") != 0:
        raise Failure("a new socket is not counted among the six")
    if windows.script(0, "return window.seventh") != "waits":
        raise Failure("a seventh request came through, though three windows have a poll and a stream each")
    windows.leave(2, server)
    windows.until(0, "window.seventh === 'came' && window.late.heard === 1")


def over_http2(windows, server):
    """The same over HTTP/2: nothing waits, and one connection carries pages, polls, streams and sockets of all three."""
    for number in range(3):
        windows.open(number, server.url + "/compare")
        windows.until(number, "performance.getEntriesByType('navigation')[0].nextHopProtocol === 'h2'")
        windows.click(number, "#start")
    for number in range(3):
        all_three_hear(windows, number, 5)
    # A fourth socket asks the server until it counts just these.
    windows.browser.promise("""new Promise((done, failed) => {
        const socket = new WebSocket(location.origin.replace("http", "ws") + "/live");
        socket.onopen = () => socket.send(JSON.stringify({ join: "server:figures", from: "now" }));
        socket.onmessage = ({ data }) => {
            const { connections, sockets } = JSON.parse(data).message ?? {};
            if (connections === 1 && sockets === 4) done(socket.close());
        };
        socket.onerror = failed;
    })""")


def back(windows, server):
    """To another page and back again: what is shown is live, whether the browser has kept the page as it was or not."""
    windows.open(0, server.url + "/chat")
    windows.open(1, server.url + "/chat")
    windows.click(0, "nav a[href='/text']")
    windows.until(0, "location.pathname === '/text'")
    windows.is_open(0)
    windows.type(1, "#message", "said while another page was open" + ENTER)
    windows.to(0).call("POST", "/back", {})
    windows.until(0, "location.pathname === '/chat'")
    windows.shows(0, "said while another page was open", "#log")
    windows.is_open(0)
    windows.type(0, "#message", "said by a page that is back" + ENTER)
    windows.shows(1, "said by a page that is back", "#log")
    if windows.log(0) != windows.log(1):
        raise Failure(f"the page that is back shows {windows.log(0)}, not {windows.log(1)}")
