"""The dashboard where the server is so busy that one run begins before the last one's messages have left it."""

import inspect
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from dashboard import messages
from tests import browser
from tests.page_bench import write_run
from tests.test_browser_performance import cells, expect_whole, tiles

WAIT = 90_000


@pytest.fixture(scope="module")
def app_url(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("app")
    write_run(folder / "runs" / "made", 900)
    own = {"LUNGLENS_RUNS": str(folder / "runs"), "LUNGLENS_SCENARIOS": str(folder / "scenarios.duckdb")}
    home = browser.ROOT / "dashboard" / "Home.py"
    with browser.running_app(home, folder / "log", own, streamlit="tests.slow_app") as app:
        yield app.url
    text = (folder / "log").read_text(errors="replace")
    assert "Traceback" not in text, text


@pytest.fixture(autouse=True)
def patient():
    expect.set_options(timeout=WAIT)
    yield
    expect.set_options(timeout=5_000)


def test_a_click_into_the_drawing_of_the_page_draws_all_of_it(page: Page, app_url):
    page.goto(app_url)
    page.get_by_role("link", name="Performance").click(timeout=WAIT)
    expect_whole(page)
    expect(page.locator("[data-test-script-state=running]")).to_have_count(0)
    page.get_by_text("Several cells").click()  # the whole page is drawn anew,
    cells(page).nth(2).click(force=True)  # and before it has come, parts of it
    expect(page.get_by_text("only: normal called lung tumour")).to_be_visible()
    expect(cells(page)).to_have_count(9)
    expect(tiles(page).first).to_be_visible()
    expect(page.get_by_role("combobox", name="True class")).to_be_visible()
    expect(page.get_by_text("Hide diagonal")).to_be_visible()


def element(path: list[int], fragment: str, text: str) -> ForwardMsg:
    message = ForwardMsg()
    message.metadata.delta_path.extend(path)
    message.delta.fragment_id = fragment
    message.delta.new_element.text.body = text
    return message


def finished() -> ForwardMsg:
    message = ForwardMsg()
    message.script_finished = ForwardMsg.ScriptFinishedStatus.FINISHED_SUCCESSFULLY
    return message


def words(queue: ForwardMsgQueue) -> list[str]:
    return [
        message.delta.new_element.text.body if message.HasField("delta") else "finished"
        for message in queue.flush()
    ]


def test_messages_that_were_not_sent_stay_in_their_order_when_a_part_is_drawn_anew():
    class Queue(ForwardMsgQueue):
        """One of its own, as Streamlit made it, whatever the dashboard did to the class in this process."""

        clear = inspect.unwrap(ForwardMsgQueue.clear)

    def filled() -> ForwardMsgQueue:
        queue = Queue()
        for message in (element([0, 0], "", "page"), element([0, 1], "part", "part"), finished()):
            queue.enqueue(message)
        queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=["part"])
        queue.enqueue(element([0, 1], "part", "part anew"))
        return queue

    assert "part" not in words(filled())  # if this fails, Streamlit keeps them itself: dashboard/messages.py can go
    messages.keep_all(Queue)
    kept = Queue.clear
    messages.keep_all(Queue)
    assert Queue.clear is kept
    queue = filled()
    assert words(queue) == ["page", "part", "finished", "part anew"]
    assert queue.is_empty()
    queue = Queue()
    queue.enqueue(element([0, 0], "", "page"))
    queue.clear(retain_lifecycle_msgs=True)  # the whole page is drawn anew: it sends all of it again
    assert queue.is_empty()
