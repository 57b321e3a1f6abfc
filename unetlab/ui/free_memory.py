"""The sidebar's memory: who uses it, the button that frees it, what that ends, and the receipt."""

import contextlib
from collections.abc import Iterable

import pandas as pd
import streamlit as st

from unetlab.config import OVER_SOON
from unetlab.errors import RunError
from unetlab.files import size_text
from unetlab.runs import devices, freeing, jobs, queue, sweep_rate, warm
from unetlab.runs.status import Status
from unetlab.runs.store import Run, open_run
from unetlab.ui import charts, hosting, state
from unetlab.ui.text import plain

KEPT = {  # what is left of a run that is ended, by its kind
    "train": "A training run can be resumed.",
    "lr_find": "A sweep keeps its curve so far.",
    "import": "An import is cancelled.",
}


def living() -> list[tuple[Run, Status]]:
    """Runs that run, oldest first, then those that wait, in their turn; one that ends meanwhile is left out."""
    found = []
    for run in jobs.live_runs(state.workspace()):
        with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
            found.append((run, run.status))
    turns = [entry.run for entry in queue.read_queue(state.workspace()).order]
    turn = {run.id: turns.index(run.id) if run.id in turns else -1 for run, _ in found}
    alive = [(run, status) for run, status in found if status.is_live]
    return sorted(alive, key=lambda item: (True, turn[item[0].id]) if item[1].state == "queued" else (False, 0))


def bar(memory: devices.Memory) -> None:
    """The memory of a device as a bar."""
    ours = memory.ours or 0
    others, free = max(memory.used - ours, 0), memory.total - memory.used
    rows = pd.DataFrame(
        [
            ("used by unetlab", ours / memory.total, "#e08214"),
            ("used by others", others / memory.total, "#7d8a93"),
            ("free", free / memory.total, "#c9d2d8"),
        ],
        columns=["name", "share", "color"],
    )
    st.altair_chart(charts.share_bar(rows), alt=f"{memory.label}: share used by unetlab, by others, free")
    of_ours = "unetlab's share is unknown" if memory.ours is None else f"{size_text(ours)} by unetlab (orange)"
    st.caption(f"{plain(memory.label)}: {size_text(memory.used)} of {size_text(memory.total)} used, {of_ours}")


def button() -> None:
    """Frees the memory, at once where nothing runs or waits; below it the receipt."""
    name = "Free GPU memory" if devices.has_gpu() else "Free memory"
    says = "Pauses the queue and ends all training processes. Training runs can be resumed."
    if st.button(name, icon=":material/memory:", width="stretch", key="free", help=says):
        if any(run.config.kind not in OVER_SOON for run, _ in living()):
            st.session_state["asks-to-free"] = True
        else:
            _free()
    # opened anew by each script run: a live panel reruns the page, which would close a dialog in use
    if "asks-to-free" in st.session_state:
        _ask_first()
    if "receipt" in st.session_state:
        with st.container(border=True, key="receipt-box"):
            _receipt(st.session_state["receipt"])


@st.dialog("Free memory", icon=":material/memory:", on_dismiss=lambda: st.session_state.pop("asks-to-free", None))
def _ask_first() -> None:
    for sentence in ending(living(), list(freeing.worker_pids(state.workspace()).values()).count(warm.IDLE)):
        st.write(sentence)
    with st.container(horizontal=True):
        is_sure = st.button("Stop and free memory", type="primary", key="free-now")
        is_off = st.button("Cancel", key="free-not")
    if is_sure or is_off:
        del st.session_state["asks-to-free"]
        if is_sure:
            _free()
        st.rerun()


def ending(alive: list[tuple[Run, Status]], num_idle: int) -> list[str]:
    """What freeing the memory does to these runs and to `num_idle` processes without one, as Markdown."""
    shown = [(run, status) for run, status in alive if run.config.kind not in OVER_SOON]
    running = [run for run, status in shown if status.state == "running"]
    waiting = [run for run, status in shown if status.state == "queued"]
    without_rate = [run for run in waiting if _loses_its_sweep(run, running)]
    idle = [f"{num_idle} idle training {'process' if num_idle == 1 else 'processes'}"] if num_idle else []
    said = [_listed("This ends", [*map(_named, running), *idle])] if running or idle else []
    if kept := [sentence for kind, sentence in KEPT.items() if kind in {run.config.kind for run in running}]:
        said.append(" ".join(kept))
    if without_rate:
        ends = "These will not train, because the sweep that sets their learning rate ends"
        said.append(_listed(ends, map(_named, without_rate)))
    if starting := [_named(run) for run in waiting if run not in without_rate]:
        return [*said, _listed("The queue is paused. These start after **Resume queue**", starting)]
    return [*said, "The queue then stays paused until you press **Resume queue**."]


def _loses_its_sweep(waiting: Run, ending: list[Run]) -> bool:
    """Whether the sweep that it waits for ends without a rate, or has so ended."""
    source = waiting.config.lr_from
    is_open = source is not None and source.lr is None and source.sweep in {run.id for run in ending}
    return is_open or sweep_rate.is_stopped(waiting.config, waiting)


def _listed(words: str, names: Iterable[str]) -> str:
    return "\n".join([f"{words}:", *(f"- {name}" for name in names)])


def _named(run: Run) -> str:
    config = run.config
    dataset = config.importing.name if config.importing else config.dataset
    kind = f"{run.kind_word} " if run.notes.name else ""  # else the title begins with it
    return f"{kind}**{plain(run.title)}**" + (f" (data set {plain(dataset)})" if dataset else "")


def _free() -> None:
    with st.spinner("Ending the training processes", show_time=True):
        st.session_state["receipt"] = freeing.free_memory(state.workspace())


def _receipt(receipt: freeing.Receipt) -> None:
    if receipt.processes:
        rows = [
            {
                "process": f"{plain(_run_of(row))} ({row.state})",
                "before": _held(row.ram_before, row.gpu_before),
                "after": _held(row.ram_after, row.gpu_after),
            }
            for row in receipt.processes
        ]
        st.table(pd.DataFrame(rows).set_index("process"), border="horizontal")
    else:
        st.write("No training process was running, so there was nothing to free.")
    for before, after in zip(receipt.before, receipt.after, strict=True):
        st.write(f"{plain(after.label)}: {size_text(before.used)} used before, **{size_text(after.used)}** after.")
    if not receipt.is_complete:
        where = " Look for unetlab.worker among the processes of this machine." if hosting.is_own_machine() else ""
        st.error(f"A training process did not end.{where}")
    if queue.read_queue(state.workspace()).is_held:
        st.caption("Queue paused, so that the memory stays free.")
    st.button("Close", key="close-receipt", on_click=lambda: st.session_state.pop("receipt"))


def _run_of(row: freeing.Freed) -> str:
    """What a process on the receipt worked on."""
    try:
        return "idle" if row.run == warm.IDLE else open_run(state.workspace(), row.run).title
    except RunError:  # deleted meanwhile
        return row.run


def _held(ram: int, gpu: int | None) -> str:
    return size_text(ram) + ("" if gpu is None else f", GPU {size_text(gpu)}")
