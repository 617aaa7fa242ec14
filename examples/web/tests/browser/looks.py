"""What one sees: widths, contrast, the focus; and what a page weighs. What this cannot judge, a person can: --screenshots."""

import chromium
import pages
from support import Failure
from webdriver import ENTER
from windows import PAGES

TAB, SPACE, RIGHT = "\ue004", " ", "\ue014"
MOST_BYTES = 30 << 10  # of a page with its scripts and its style, as they are before any compression
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
CONTROLS = "a, button:enabled, input:enabled, [tabindex=\"0\"]"
# Each thing that is seen: controls, and the lines of what has text of its own. Names those that lie on one another, and those
# that stick out of the card or the part of the page that they belong to.
OVERLAPS = """
    const seen = [], wrong = [], round = box => `${box.left.toFixed()},${box.top.toFixed()}-${box.right.toFixed()},${box.bottom.toFixed()}`;
    for (const element of document.body.querySelectorAll("*")) {
        if (!element.checkVisibility() || element.closest(".hidden")) continue;
        const name = `<${element.localName}> ${(element.id || element.textContent).slice(0, 30)}`;
        const texts = [...element.childNodes].filter(node => node.nodeType === 3 && node.data.trim());
        let boxes = [];
        if (element.matches("a, button, input, canvas")) boxes = [element.getBoundingClientRect()];
        else for (const text of texts) {
            const range = document.createRange();
            range.selectNodeContents(text);
            boxes.push(...range.getClientRects());
        }
        const frame = element.closest(".log")?.getBoundingClientRect(); // it scrolls: what is outside is not seen
        if (frame) boxes = boxes.filter(box => box.top >= frame.top && box.bottom <= frame.bottom);
        const around = (element.parentElement.closest(".card, .names li") ?? document.documentElement).getBoundingClientRect();
        for (const box of boxes) {
            if (box.left < around.left - 1 || box.right > around.right + 1) wrong.push(`${name} sticks out: ${round(box)} of ${round(around)}`);
            for (const other of seen) {
                if (other.element.contains(element) || element.contains(other.element)) continue;
                const width = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
                const height = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
                if (width > 1 && height > 1) wrong.push(`${name} lies on ${other.name}: ${round(box)}, ${round(other.box)}`);
            }
            seen.push({ element, name, box });
        }
    }
    return [seen.length, wrong];
"""
# The contrast of each text with what is behind it, by WCAG 2.2. The browser itself turns colours of any kind into numbers.
CONTRASTS = """
    const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    const numbers = colour => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data];
    };
    const light = colour => [0.2126, 0.7152, 0.0722].reduce((sum, part, at) => {
        const value = numbers(colour)[at] / 255;
        return sum + part * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    }, 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if (numbers(colour)[3] === 255) return colour;
        }
        throw new Error("nothing is behind it");
    };
    const found = [];
    for (const element of document.body.querySelectorAll("*")) {
        if (!element.checkVisibility() || element.disabled) continue;
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        const styles = own || element.value ? [getComputedStyle(element)] : [];
        if (element.placeholder) styles.push(getComputedStyle(element, "::placeholder"));
        for (const part of ["::before", "::after"]) {
            const style = getComputedStyle(element, part);
            if (!["none", "normal", '""'].includes(style.content)) styles.push(style);
        }
        for (const style of styles) {
            const [a, b] = [light(style.color), light(behind(element))].sort((a, b) => b - a);
            found.push([(a + 0.05) / (b + 0.05), `<${element.localName}> ${(element.id || element.textContent).slice(0, 30)}`]);
        }
    }
    return found;
"""


LONG = ["Does anybody see the price of lot 3? " * 2, "https://example.com/" + "without-any-place-to-break" * 3, "W" * 60]


def fill(windows, server):
    """Lines that are long, have no place to break, or are many; names in many colours. The chat shows the last ones."""
    server.publish("chat", *(f'"line {number}"' for number in range(12)), *(f'"{text}"' for text in LONG))
    texts = [*LONG, *(f"person {number}" for number in range(24))]
    server.publish("text", *(f'{{"who":"{number}","text":"{text}"}}' for number, text in enumerate(texts)))
    windows.open(2, server.url + "/auction")
    windows.write_over(2, "#name", "W" * 30 + ENTER)
    windows.shows(2, "W" * 30, "#here")
    windows.write_over(2, "#lots section:nth-child(1) input", "9007199254740991" + ENTER)
    windows.shows(2, "9,007,199,254,740,991", "#lots")


def is_filled(windows, number, page):
    there = {"/chat": LONG[-1], "/text": "person 23", "/auction": "9,007,199,254,740,991"}
    if page in there:
        windows.shows(number, there[page])


def widths(windows, server):
    """From a small telephone to a wide screen, in the light and in the dark: nothing overflows, nothing lies on anything else,
    and all text can be read."""
    fill(windows, server)
    for width, telephone in ((320, True), (360, True), (640, False), (800, False), (1280, False), (1920, False)):
        screen = {"width": width, "height": 800, "deviceScaleFactor": 2 if telephone else 1, "mobile": telephone}
        chromium.devtools(windows, 0, "Emulation.setDeviceMetricsOverride", **screen)
        for scheme in ("light", "dark"):
            features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
            features = [{"name": name, "value": value} for name, value in features.items()]
            chromium.devtools(windows, 0, "Emulation.setEmulatedMedia", features=features)
            for page in PAGES:
                windows.open(0, server.url + page)
                is_filled(windows, 0, page)
                seen(windows, page, width, scheme)
    chromium.devtools(windows, 0, "Emulation.clearDeviceMetricsOverride")
    chromium.devtools(windows, 0, "Emulation.setEmulatedMedia", features=[])


def seen(windows, page, width, scheme):
    name = f"{page.strip('/') or 'index'}-{width}-{scheme}"
    windows.shot(0, name)
    if windows.script(0, "return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]") != [width, scheme == "dark"]:
        raise Failure(f"{name}: the window is not as it was asked for")
    over = windows.script(0, "return document.documentElement.scrollWidth - innerWidth")
    if over > 0:
        raise Failure(f"{name} is {over} px wider than the window")
    count, wrong = windows.script(0, OVERLAPS)
    if wrong or count < 10:
        raise Failure(f"{name}, of {count} things: " + "\n".join(wrong))
    contrasts = windows.script(0, CONTRASTS)
    low = [f"{ratio:.1f} {what}" for ratio, what in contrasts if ratio < LEAST_CONTRAST]
    if low or len(contrasts) < 10:
        raise Failure(f"{name}, contrasts of {len(contrasts)} texts: " + "\n".join(low))


def weight(windows, server):
    """Each page with all that it loads, as bytes; and all of it is the server's own."""
    for page in PAGES:
        windows.open(0, server.url + page)
        loaded = windows.script(0, """return ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
            .filter(entry => !/[/](poll|events|lots)/.test(entry.name)).map(entry => [entry.name, entry.decodedBodySize])""")
        bytes_ = sum(size for _, size in loaded)
        foreign = [name for name, _ in loaded if not name.startswith(server.url + "/")]
        if foreign:
            raise Failure(f"{page} loads {foreign}")
        if len(loaded) < 5 or not 0 < min(size for _, size in loaded) or bytes_ > MOST_BYTES:
            raise Failure(f"{page} weighs {bytes_} bytes: {loaded}")
        print(f"        {page}: {bytes_} bytes in {len(loaded)} requests", flush=True)


def keyboard(windows, server):
    """By keys alone: Tab reaches every control in the order of the page, and shows where one is; then one uses it."""
    for page in PAGES:
        windows.open(0, server.url + page)
        windows.script(0, "document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus()")
        count = windows.script(0, f"return document.querySelectorAll({CONTROLS!r}).length")
        for number in range(count):
            windows.keys(0, TAB)
            what, outline = windows.script(0, f"""const style = getComputedStyle(document.activeElement);
                return [[...document.querySelectorAll({CONTROLS!r})].indexOf(document.activeElement),
                    style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)]""")
            if what != number or outline < 2:
                raise Failure(f"{page}: Tab reaches control {what} of {count} instead of {number}, and its outline has {outline} px")
    windows.open(0, server.url + "/chat")
    windows.keys(0, "sent by Enter" + ENTER)
    windows.shows(0, "sent by Enter", "#log")
    windows.keys(0, "sent by the button" + TAB)
    windows.keys(0, ENTER)
    windows.shows(0, "sent by the button", "#log")
    windows.open(0, server.url + "/auction")
    windows.until(0, "document.querySelector('#lots section:nth-child(4) .price').textContent === '0'")
    while windows.script(0, "return document.activeElement.ariaLabel") != "Your bid for lot 4":
        windows.keys(0, TAB)
    windows.keys(0, "7" + ENTER)  # what is there is selected, and is written over
    windows.until(0, "document.querySelector('#lots section:nth-child(4) .price').textContent === '7'")
    windows.open(0, server.url + "/compare")
    while windows.script(0, "return document.activeElement.id") != "start":
        windows.keys(0, TAB)
    windows.keys(0, SPACE)
    pages.all_three_hear(windows, 0, 1)
    windows.keys(0, TAB)
    windows.keys(0, RIGHT)
    windows.until(0, "document.getElementById('shown').textContent === '6'")
    windows.open(0, server.url + "/")
    while windows.script(0, "return document.activeElement.getAttribute('href')") != "/text":
        windows.keys(0, TAB)
    windows.keys(0, ENTER)
    windows.until(0, "location.pathname === '/text' && document.activeElement.id === 'text'")
