"""A person with a browser. Reads steps from standard input, a line of JSON each: {"do": NAME, ...}; answers each with
`ok` or `failed: WHY`. Whatever the browser complains about fails the next step."""

import json
import os
import pathlib
import sys

from playwright.sync_api import expect, sync_playwright

PATIENCE = 30_000


def main():
    chromium, shots = sys.argv[1:]
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        person = Person(browser, shots)
        print("ok", flush=True)
        for line in sys.stdin:
            step = json.loads(line)
            try:
                getattr(person, "do_" + step.pop("do"))(**step)
                person.check_complaints()
                print("ok", flush=True)
            except Exception as error:  # Whatever it was, the test has to hear of it.
                person.page.screenshot(path=f"{shots}/failed.png", full_page=True)
                print("failed: " + str(error).replace("\n", " | "), flush=True)
        browser.close()


class Person:
    def __init__(self, browser, shots):
        self.browser, self.shots = browser, shots
        self.complaints, self.away = [], False
        self.page = self.new_page({"width": 1280, "height": 900}, "light")

    def new_page(self, size, scheme):
        page = self.browser.new_context(viewport=size, color_scheme=scheme).new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append("an alert: " + dialog.message), dialog.dismiss()))
        return page

    def check_complaints(self):
        complaints, self.complaints = self.complaints, []
        if self.away:
            complaints = [said for said in complaints if "net::ERR_" not in said]
        assert not complaints, f"the browser complains: {complaints}"

    def do_open(self, url):
        self.page.goto(url)
        expect(self.page.locator("#news")).to_contain_text("live")

    def do_see(self, where, text):
        expect(self.page.locator(where).first).to_contain_text(text)

    def do_miss(self, where):
        expect(self.page.locator(where)).to_have_count(0)

    def do_shot(self, name):
        self.page.evaluate("window.scrollTo(0, 0)")
        self.page.screenshot(path=f"{self.shots}/{name}.png", full_page=True)

    def do_phone(self, url, name):
        page = self.new_page({"width": 390, "height": 844}, "dark")
        page.goto(url)
        expect(page.locator("#news")).to_contain_text("live")
        check_readable(page)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        page.screenshot(path=f"{self.shots}/{name}.png", full_page=True)
        page.context.close()
        assert wide <= 0, f"the page is {wide} pixels wider than a phone"

    def do_change(self, button, why, field=None):
        """Clicks a button, gives a name and a reason, and waits until it is done."""
        self.page.get_by_role("button", name=button).first.click()
        ask = self.page.locator("#ask")
        expect(ask).to_be_visible()
        if field:
            ask.locator("#ask-field").select_option(field)
        ask.get_by_label("Your name").fill("ann")
        ask.get_by_label("Why").fill(why)
        ask.get_by_role("button", name="Do it").click()
        expect(ask).to_be_hidden()
        expect(self.page.locator("#said")).to_contain_text("Done")

    def do_refused(self, button, text):
        """What may not be done is explained where it was asked."""
        self.page.get_by_role("button", name=button).first.click()
        ask = self.page.locator("#ask")
        ask.get_by_label("Your name").fill("ann")
        ask.get_by_label("Why").fill("to see it")
        ask.get_by_role("button", name="Do it").click()
        expect(ask.locator("#ask-error")).to_contain_text(text)
        ask.get_by_role("button", name="Leave it").click()
        expect(ask).to_be_hidden()
        # The browser tells of every answer that is no 2xx.
        self.complaints = [said for said in self.complaints if "Failed to load resource" not in said]

    def do_keyboard(self, key, why):
        """The same without a mouse; what has the focus keeps it while the page goes on."""
        self.page.locator(f'[data-key="{key}"]').focus()
        self.page.wait_for_timeout(2500)
        focused = self.page.evaluate("document.activeElement.dataset.key")
        assert focused == key, f"the focus went to {focused}"
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#ask")).to_be_visible()
        # The name is known from before.
        expect(self.page.get_by_label("Why")).to_be_focused()
        self.page.keyboard.type(why)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#ask")).to_be_hidden()

    def do_token(self, url, wrong, right, button):
        """Somebody on another machine has to show a token, is told when it is not known, and acts under its name."""
        here, self.page = self.page, self.new_page({"width": 1000, "height": 700}, "light")
        # As a proxy would say it.
        self.page.context.set_extra_http_headers({"x-forwarded-for": "10.1.2.3"})
        self.page.goto(url)
        gate = self.page.locator("#gate")
        for token, seen in ((wrong, "a forwarded request needs a token"), (right, "this token is not in")):
            expect(gate).to_contain_text(seen)
            gate.get_by_label("Token").fill(token)
            gate.get_by_role("button", name="Look").click()
        expect(self.page.locator("#news")).to_contain_text("live")
        expect(gate).to_be_hidden()
        self.page.get_by_role("button", name=button).first.click()
        ask = self.page.locator("#ask")
        expect(ask.get_by_label("Your name")).to_have_count(0)
        ask.get_by_label("Why").fill("from afar")
        ask.get_by_role("button", name="Do it").click()
        expect(ask).to_be_hidden()
        self.page.context.close()
        self.page = here
        self.complaints = [said for said in self.complaints if "401" not in said]

    def do_turn(self, view):
        self.page.get_by_role("button", name=view).click()
        expect(self.page.locator("#news")).to_contain_text("live")

    def do_visit(self, instance):
        """A box of the fleet leads to the page of its instance."""
        self.page.locator(f'[data-key="box {instance}"]').click()
        expect(self.page.locator("#name")).to_contain_text(instance)

    def do_unfold(self, text):
        self.page.get_by_text(text).first.click()

    def do_lost(self):
        """The process is away, and the page says so; that the browser cannot reach it is no complaint."""
        self.away = True
        expect(self.page.locator("#news")).to_contain_text("no news")

    def do_back(self, text):
        expect(self.page.locator("#news")).to_contain_text("live")
        expect(self.page.locator("#name")).to_contain_text(text)
        self.check_complaints()
        self.away = False

    def do_accessible(self):
        """Everything that can be operated has a name for who cannot see it, and text can be told from its ground."""
        check_readable(self.page)
        nameless = self.page.evaluate("""() => [...document.querySelectorAll('button, a, summary, svg[role=img], input, select')]
            .filter(one => !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)).map(one => one.outerHTML)""")
        assert not nameless, nameless
        twice = self.page.evaluate("""() => { const ids = [...document.querySelectorAll('[id]')].map(one => one.id);
            return ids.filter((id, at) => ids.indexOf(id) !== at); }""")
        assert not twice, twice
        check_axe(self.page)


def check_axe(page):
    """The rules of WCAG that a program can judge, by axe-core; its one file comes with a package of Python's."""
    try:
        import axe_playwright_python
    except ImportError:
        assert os.environ.get("PLATFORM_REQUIRE_OUTSIDE") != "1", "axe-playwright-python is missing"
        print("skipped: axe-playwright-python is missing, so accessibility is judged by our own rules alone", file=sys.stderr)
        return
    rules = pathlib.Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8")
    page.evaluate(rules + "; null")
    found = page.evaluate("""async () => (await axe.run({ resultTypes: ["violations"] })).violations
        .map(one => `${one.id} (${one.impact}): ${one.help}: ${one.nodes.map(node => node.html).join(" ")}`)""")
    assert not found, found


def check_readable(page):
    """WCAG's contrast of text, 4.5 to 1, against the nearest ground that is not transparent."""
    poor = page.evaluate("""() => {
        const parts = color => (color.match(/[\\d.]+/g) || []).map(Number);
        const light = color => { const [r, g, b] = parts(color).map(part => (part /= 255) <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b; };
        const ground = element => { for (; element; element = element.parentElement) {
            const color = getComputedStyle(element).backgroundColor, alpha = parts(color)[3];
            if (alpha === undefined || alpha === 1) return color; } return "rgb(255, 255, 255)"; };
        const poor = [];
        for (const element of document.body.querySelectorAll("*")) {
            const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join("");
            if (!text || !element.checkVisibility() || element.closest("script, style, noscript, title")) continue;
            const circle = element.tagName === "text" && element.parentElement.querySelector("circle");
            const style = getComputedStyle(element);
            const [one, other] = [light(circle ? style.fill : style.color), light(circle ? getComputedStyle(circle).fill : ground(element))].sort((a, b) => b - a);
            const contrast = (one + .05) / (other + .05);
            if (contrast < 4.5) poor.push(`${text.slice(0, 30)} (${contrast.toFixed(1)})`);
        }
        return poor; }""")
    assert not poor, f"hard to read: {poor}"


main()
