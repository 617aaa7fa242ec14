"""Chromium, by the client of tests/browser, and what only its devtools can do."""

import contextlib

import webdriver
from webdriver import PATIENCE

# What a server that is away makes the browser say. Nothing else may stand in the console.
AWAY = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_CONNECTION_CLOSED", "ERR_EMPTY_RESPONSE",
        "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_SOCKET_NOT_CONNECTED", "WebSocket connection to")
# It says so whenever a page with an open socket is left, and that is no fault.
LEFT = "Page entered Back-Forward Cache"
# It makes no connection in advance: it would not know yet that the first one is enough.
NO_PRECONNECT = {"net.network_prediction_options": 2}


@contextlib.contextmanager
def session(scratch):
    """A browser that runs. It trusts any certificate; the tests of the server check those."""
    logging = {"goog:loggingPrefs": {"browser": "ALL"}}
    with webdriver.session(scratch, NO_PRECONNECT, acceptInsecureCerts=True, **logging) as browser:
        browser.name = "chromium"
        yield browser


def devtools(windows, number, command, **parameters):
    return windows.to(number).call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})


def complaints(windows, away):
    """What the consoles say, but for the server that is away if that is allowed."""
    found = []
    for number in windows.all():
        for entry in windows.to(number).call("POST", "/se/log", {"type": "browser"}):
            if LEFT not in entry["message"] and not (away and any(word in entry["message"] for word in AWAY)):
                found.append(f"window {number}: {entry['level']} {entry['message']}")
    return found
