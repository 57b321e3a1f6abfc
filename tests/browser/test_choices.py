"""What is chosen stays chosen, a form belongs to its data set, and what is pressed once starts once.

Two data sets, `alpha` and the newer `beta`; each has a sweep and two trainings, nobody runs. Tests stand on what is not
the newest, since that is what a page falls back to. Jobs are started on a third and oldest set.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests import tiny
from tests.browser.conftest import Server, start_server
from tests.conftest import end_workers
from unetlab.data.importing import import_dataset
from unetlab.files import write_json
from unetlab.runs import queue, store
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace

SETS, STARTED = ("alpha", "beta"), "gamma"
TABS = {"Home": "", "Data": "data", "Learning rate": "learning_rate", "Train": "train", "Results": "results"}


@dataclass(frozen=True)
class Lab:
    """A server, and ids of runs by data set: the sweep, and trainings from old to new."""

    server: Server
    sweeps: dict[str, str]
    trainings: dict[str, list[str]]

    def open(self, page: Page, path: str, **query: str) -> None:
        """Goes to a page of the lab and waits until it is drawn."""
        page.goto(f"{self.server.url}/{path}?{urlencode(query)}")
        expect(page.get_by_role("heading", level=1).first).to_be_visible()

    def forget_forms(self) -> None:
        """Leaves the forms as nobody has touched them."""
        for name in SETS:
            shutil.rmtree(self.server.home / "datasets" / name / "drafts", ignore_errors=True)

    def runs(self, kind: str, dataset: str) -> list[Path]:
        """Folders of all runs of a kind on a data set."""
        configs = (self.server.home / "runs").glob("*/config.json")
        wanted = {"kind": kind, "dataset": dataset}
        return [path.parent for path in configs if wanted.items() <= json.loads(path.read_text()).items()]


def finished_training(trained: Run, name: str, dataset: str, **top: str) -> Run:
    """A copy of a finished training, as if it had been one of this data set."""
    run = Run(Path(shutil.copytree(trained.folder, own_workspace().runs / name)))
    write_json(run.folder / "config.json", trained.config.changed({}, dataset=dataset, **top).model_dump(mode="json"))
    run.write_notes(store.Notes(name=name))
    return run


@pytest.fixture(scope="module")
def prepared(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("choices")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNETLAB_HOME", str(folder / "home"))
        patch.setenv("UNETLAB_LOCKS", str(folder / "locks"))
        sweeps, trainings = {}, {}
        import_dataset(own_workspace(), [tiny.write_pairs(folder / STARTED)], name=STARTED)
        for name in SETS:
            import_dataset(own_workspace(), [tiny.write_pairs(folder / name)], name=name)
            sweeps[name] = tiny.finished_sweep(name).id
            ids = [f"2026-01-0{day}T10-00-00_{name}_0000" for day in (1, 2)]
            trainings[name] = [finished_training(trained, run_id, name).id for run_id in ids]
        queue.hold(own_workspace())  # what a test starts shall wait: it is counted, not run
        server = start_server(folder / "home")
        yield Lab(server, sweeps, trainings)
        server.stop()
        end_workers(server.home)
    assert not server.has_failed(), server.log.read_text()


@pytest.fixture
def lab(prepared: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The prepared lab as the current workspace, with forms as nobody has touched them."""
    monkeypatch.setenv("UNETLAB_HOME", str(prepared.server.home))
    prepared.forget_forms()
    return prepared


def press(page: Page, name: str, how: str) -> None:
    """Presses a button by mouse or keyboard."""
    button = page.get_by_role("button", name=re.compile(name)).first
    if how == "mouse":
        button.click()
    else:
        button.focus()
        page.keyboard.press("Enter")


def box(page: Page, label: str) -> Locator:
    """The select box of the sidebar with this label."""
    return page.get_by_test_id("stSidebar").get_by_role("combobox", name=label)


def pick(page: Page, label: str, option: str, how: str = "mouse") -> None:
    """Chooses an option of a select box by mouse or keyboard."""
    field = box(page, label)
    if how == "mouse":
        field.click()
        page.get_by_role("option", name=option).first.click()
    else:
        field.focus()
        page.keyboard.type(option)
        page.keyboard.press("Enter")


def number(page: Page, label: str) -> Locator:
    """The number input of the page with this label."""
    return page.get_by_test_id("stMain").get_by_role("spinbutton", name=label, exact=True)


def type_in(page: Page, label: str, value: str) -> None:
    """Types into a number input as a person does, and leaves it."""
    number(page, label).fill(value)
    number(page, label).press("Tab")


def expect_chosen(page: Page, title: str, **chosen: str) -> None:
    """The page with this title shows the choice, in the sidebar and in the URL."""
    expect(page.get_by_role("heading", level=1, name=title)).to_be_visible()
    expect(box(page, "Data set")).to_have_value(chosen["dataset"])
    if "run" in chosen:
        expect(box(page, "Training run")).to_have_value(re.compile(chosen["run"]))
    tiny.wait_until(lambda: page.wait_for_timeout(20) or chosen.items() <= in_url(page).items(), f"{chosen} in the URL")


def in_url(page: Page) -> dict[str, str]:
    """The query of the page's address."""
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def test_train_with_a_swept_rate_trains_the_set_that_was_swept(lab: Lab, new_page):
    tabs = {"mouse": new_page(), "keyboard": new_page()}
    for how, tab in tabs.items():
        lab.forget_forms()
        lab.open(tab, "learning_rate", dataset="alpha")
        press(tab, "Train with 0", how)
        expect_chosen(tab, "Train", dataset="alpha")
        expect(number(tab, "Learning rate (maximum)")).to_have_value("3.50e-3")
        expect(tab.get_by_text("learning rate: min gradient, from").first).to_be_visible()
    address = tabs["keyboard"].url
    for tab in tabs.values():  # a reload, and another tab: the rate is there and so is where it came from
        tab.goto(address)
        expect_chosen(tab, "Train", dataset="alpha")
        expect(number(tab, "Learning rate (maximum)")).to_have_value("3.50e-3")
        expect(number(tab, "Image size (px)")).to_have_value("32")
        expect(tab.get_by_text("learning rate: min gradient, from").first).to_be_visible()


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_train_again_with_changes_stays_with_its_run(lab: Lab, new_page, how: str):
    page, chosen = new_page(), {"dataset": "alpha", "run": lab.trainings["alpha"][0]}
    lab.open(page, "results", **chosen)
    press(page, "Train again with changes", how)
    expect_chosen(page, "Train", **chosen)
    page.reload()
    expect_chosen(page, "Train", **chosen)
    expect(number(page, "Image size (px)")).to_have_value("32")


def test_a_button_opens_another_page_although_the_sidebar_polls_all_the_time(lab: Lab, new_page):
    script = "from unetlab.ui import frame; frame.POLL_S = 0.1; from streamlit.web import cli; cli.main()"
    server = start_server(lab.server.home, command=(sys.executable, "-c", script, "run", "app.py"))
    page, chosen = new_page(), {"dataset": "alpha", "run": lab.trainings["alpha"][0]}
    try:
        replace(lab, server=server).open(page, "results", **chosen)
        press(page, "Train again with changes", "mouse")
        expect_chosen(page, "Train", **chosen)
        page.wait_for_timeout(500)  # polls of the old page arrive late
        page.get_by_test_id("stHeader").get_by_role("link", name="Results").click()
        expect_chosen(page, "Results", **chosen)
        press(page, "Train again with changes", "mouse")
        expect_chosen(page, "Train", **chosen)
    finally:
        server.stop()
    assert not server.has_failed(), server.log.read_text()


def test_what_is_picked_stays_on_every_page_in_a_second_tab_and_after_a_reload(lab: Lab, new_page):
    page, chosen = new_page(), {"dataset": "alpha", "run": lab.trainings["alpha"][0]}
    for how in ("mouse", "keyboard"):
        lab.open(page, "results")  # anew: it stands on the newest
        pick(page, "Data set", "alpha", how)
        expect_chosen(page, "Results", dataset="alpha")
        pick(page, "Training run", chosen["run"], how)
        expect_chosen(page, "Results", **chosen)
        for name, path in TABS.items():
            link = page.get_by_role("banner").or_(page.get_by_test_id("stHeader")).get_by_role("link", name=name)
            if how == "mouse":
                link.first.click()
            else:
                link.first.focus()
                page.keyboard.press("Enter")
            page.wait_for_url(re.compile(rf"/{path}(\?|$)"))
            expect_chosen(page, "" if name == "Home" else name, **chosen)
    page.reload()
    expect_chosen(page, "Results", **chosen)
    second = new_page()
    second.goto(page.url)
    expect_chosen(second, "Results", **chosen)


def test_links_on_a_page_carry_the_choice_also_into_a_tab_of_their_own(lab: Lab, new_page):
    page, chosen = new_page(), {"dataset": "alpha", "run": lab.trainings["alpha"][0]}
    lab.open(page, "", **chosen)
    link = page.get_by_test_id("stMain").get_by_role("link", name="Train")
    second = new_page()
    second.goto(lab.server.url + "/" + (link.first.get_attribute("href") or "").lstrip("/"))
    link.first.click()
    for tab in (page, second):
        expect_chosen(tab, "Train", **chosen)


def test_a_card_on_home_opens_its_run_and_its_set(lab: Lab, new_page):
    page, run = new_page(), lab.trainings["alpha"][1]
    lab.open(page, "", dataset="beta")
    cards = page.get_by_test_id("stMain").locator(f".st-key-open-{run}")
    cards.get_by_role("button", name="Open").click()
    expect_chosen(page, "Results", dataset="alpha", run=run)


def test_a_bookmark_of_what_is_gone_says_so_and_names_what_is_shown(lab: Lab, new_page):
    page, newest = new_page(), lab.trainings["beta"][1]
    lab.open(page, "results", dataset="gone", run=lab.trainings["alpha"][0])
    expect(page.get_by_text("This workspace has no data set gone (any more).")).to_contain_text("The newest, beta,")
    expect_chosen(page, "Results", dataset="beta", run=newest)
    lab.open(page, "results", dataset="alpha", run="2020-01-01T00-00-00_alpha_ffff")
    expect(page.get_by_text("The data set alpha has no training run 2020")).to_contain_text("The newest")
    page.get_by_test_id("stHeader").get_by_role("link", name="Train").click()
    expect_chosen(page, "Train", dataset="alpha", run=lab.trainings["alpha"][1])
    expect(page.get_by_text("has no training run")).to_have_count(0)
    lab.open(page, "learning_rate", dataset="alpha", sweep="2020-01-01T00-00-00_alpha_ffff")
    expect(page.get_by_text("The data set alpha has no sweep 2020")).to_be_visible()


def test_a_bookmark_of_a_run_alone_opens_its_data_set(lab: Lab, new_page):
    page, run = new_page(), lab.trainings["alpha"][0]
    lab.open(page, "results", run=run)
    expect_chosen(page, "Results", dataset="alpha", run=run)


def test_a_run_that_is_deleted_while_it_is_looked_at_is_told_to_be_gone(lab: Lab, new_page, trained: Run):
    run = finished_training(trained, "2026-01-01T09-00-00_alpha_0000", "alpha")
    page = new_page()
    lab.open(page, "results", dataset="alpha", run=run.id)
    expect_chosen(page, "Results", dataset="alpha", run=run.id)
    store.delete_run(run)
    page.get_by_test_id("stHeader").get_by_role("link", name="Train").click()
    expect(page.get_by_text(f"The data set alpha has no training run {run.id} (any more).")).to_be_visible()
    expect_chosen(page, "Train", dataset="alpha", run=lab.trainings["alpha"][1])


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_a_form_belongs_to_its_data_set_and_survives_a_reload(lab: Lab, new_page, how: str):
    page = new_page()
    lab.open(page, "train", dataset="alpha")
    expect(page.get_by_text("learning rate: the default").first).to_be_visible()
    type_in(page, "Learning rate (maximum)", "9")
    type_in(page, "Image size (px)", "48")
    expect(page.get_by_text("learning rate: typed").first).to_be_visible()
    expect(number(page, "Image size (px)")).to_have_value("48")
    pick(page, "Data set", "beta", how)
    expect_chosen(page, "Train", dataset="beta")
    expect(number(page, "Learning rate (maximum)")).to_have_value("1.00e-3")
    expect(number(page, "Image size (px)")).to_have_value("256")
    expect(page.get_by_text("learning rate: the default").first).to_be_visible()
    pick(page, "Data set", "alpha", how)
    expect(number(page, "Learning rate (maximum)")).to_have_value("9.00e+0")
    expect(number(page, "Image size (px)")).to_have_value("48")
    page.reload()
    expect(number(page, "Learning rate (maximum)")).to_have_value("9.00e+0")
    expect(number(page, "Image size (px)")).to_have_value("48")
    expect(page.get_by_text("learning rate: typed").first).to_be_visible()


def test_the_pick_of_a_sweep_survives_a_reload_and_is_not_carried_to_another_set(lab: Lab, new_page):
    page = new_page()
    lab.open(page, "learning_rate", dataset="alpha")
    page.get_by_role("radio", name="my own").click()
    type_in(page, "Learning rate", "9")
    expect(page.get_by_role("button", name="Train with 9")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Train with 9")).to_be_visible()
    pick(page, "Data set", "beta")
    expect(page.get_by_role("button", name=f"Train with {tiny.PICK}")).to_be_visible()


def test_a_rate_that_was_swept_at_another_size_is_marked_in_the_form(lab: Lab, new_page):
    page = new_page()
    lab.open(page, "learning_rate", dataset="alpha")
    press(page, "Train with 0", "mouse")
    expect(page.get_by_text("learning rate: min gradient, from").first).to_be_visible()
    mark = page.get_by_text("This learning rate was swept with")
    expect(mark).to_have_count(0)
    type_in(page, "Image size (px)", "48")
    expect(mark).to_contain_text("image size (px) 32 (here 48)")
    page.reload()
    expect(mark).to_contain_text("image size (px) 32 (here 48)")


def test_the_learning_rate_page_offers_the_training_that_followed_and_stays(lab: Lab, new_page, trained: Run):
    sweep = tiny.finished_sweep("alpha")
    followed = finished_training(
        trained, "2025-12-01T10-00-00_alpha_0000", "alpha", lr_from={"sweep": sweep.id, "lr": 0.01}
    )
    page = new_page()
    lab.open(page, "learning_rate", dataset="alpha", sweep=sweep.id)
    offer = page.get_by_role("button", name="Watch it learn")
    expect(offer).to_be_visible()
    page.reload()
    expect(offer).to_be_visible()
    expect_chosen(page, "Learning rate", dataset="alpha", sweep=sweep.id)
    offer.click()
    expect_chosen(page, "Train", dataset="alpha", run=followed.id)
    expect(page.get_by_role("radio", name="Chosen run")).to_be_checked()
    for run in (sweep, followed):
        store.delete_run(run)


@pytest.mark.parametrize(
    ("path", "how"), [("train", "mouse"), ("train", "keyboard"), ("train", "script"), ("learning_rate", "mouse")]
)
def test_a_start_that_is_pressed_again_and_again_in_a_hurry_starts_one_run(lab: Lab, new_page, path: str, how: str):
    name, kind = ("Start training", "train") if path == "train" else ("Find the", "lr_find")
    page, before = new_page(), set(lab.runs(kind, STARTED))
    lab.open(page, path, dataset=STARTED)
    if path == "train" and before:  # the run of an earlier case is shown first
        page.get_by_text("New training").click()
    field, value = number(page, "Batch size"), str(2 + len(before))
    expect(field).to_be_visible()
    field.fill(value)
    button = page.get_by_role("button", name=re.compile(name)).first
    if how == "mouse":
        button.click(click_count=5, delay=20)
    elif how == "keyboard":
        field.press("Enter")
        button.focus()
        for _ in range(5):
            page.keyboard.press("Enter")
    else:
        field.press("Enter")
        button.evaluate("button => { for (let n = 0; n < 5; n++) button.click() }")
    tiny.wait_until(lambda: page.wait_for_timeout(20) or set(lab.runs(kind, STARTED)) - before, "it has started")
    expect_chosen(page, "Train" if path == "train" else "Learning rate", dataset=STARTED)
    expect(page.get_by_text("It starts by itself").or_(page.get_by_text("Queue paused")).first).to_be_visible()
    (started,) = set(lab.runs(kind, STARTED)) - before
    assert json.loads((started / "config.json").read_text())["train"]["batch_size"] == int(value)
    end_workers(lab.server.home)  # the run's own waits for its turn, and takes time from those that come after
