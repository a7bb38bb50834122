"""A real Chromium without a network, driven by ChromeDriver."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--hide-scrollbars",
)
# The runs of the unit tests of reports; they are no package that could be imported.
MAKER = Path(__file__).parents[1] / "unit" / "report" / "conftest.py"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


def missing():
    """Name what is not here; None where a browser can be started."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"needs {name} (apt-get install chromium chromium-driver)"
    if importlib.util.find_spec("selenium") is None:
        return "needs selenium (python -m pip install selenium)"
    return None


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Start Chromium; where it is absent skip, but in CI fail."""
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"CI {reason}")
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    profile, downloads = tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("downloads")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver, downloads)
    finally:
        driver.quit()


class Browser:
    """What the tests ask of a browser."""

    def __init__(self, driver, downloads):
        self.driver = driver
        self.downloads = downloads
        where = {"behavior": "allow", "downloadPath": str(downloads)}
        self.tell("Browser.setDownloadBehavior", **where)
        self.tell("Network.enable")
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.tell("Network.emulateNetworkConditions", **offline)

    def tell(self, command, **arguments):
        """Speak to the browser's own protocol."""
        return self.driver.execute_cdp_cmd(command, arguments)

    def open(self, path, *, fragment="", width=1280, mode="light"):
        """Open a file afresh and forget what was logged before."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.tell("Emulation.setDeviceMetricsOverride", **size)
        self.tell(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": mode}],
        )
        self.driver.get("about:blank")
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(path.as_uri() + fragment)

    def run(self, script, *arguments):
        """Run JavaScript in the page."""
        return self.driver.execute_script(script, *arguments)

    def complaints(self):
        """What the console says."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """The addresses that the page asked for."""
        events = [
            json.loads(one["message"])["message"] for one in self.driver.get_log("performance")
        ]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, height=2000):
        """A picture of the top of the page."""
        clip = {
            "x": 0,
            "y": 0,
            "width": self.run("return innerWidth"),
            "height": height,
            "scale": 1,
        }
        shot = self.tell("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])

    def pdf(self):
        """The page as it prints."""
        return base64.b64decode(self.tell("Page.printToPDF", printBackground=True)["data"])


@pytest.fixture(scope="session")
def reports():
    """The module that makes runs."""
    spec = importlib.util.spec_from_file_location("report_runs", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def page(reports, tmp_path_factory):
    """A report about an H200 that was made up."""
    maker = reports.Maker(tmp_path_factory.mktemp("page"))
    rows = reports.sweep(lengths=5, batches=(1, 8), heads=(32, 8, 1))
    rows.append(reports.other_row(reports.decode(3), "naive", "failed", "boom"))
    maker.html(rows)
    return maker.folder / "report.html"
