"""Results: the verdict and the next run, the scores, the worst pictures first, the curves, and the downloads."""

import streamlit as st

from unetlab.ui import live, scoring, state, training, verdicts, watching

st.title("Results")
run = state.chosen_run()
if run is None:
    live.nothing_yet("There is no training run for this data set yet.", "pages/lab/train.py", "Train one")
if run.status.is_live:
    live.panel(run, lambda run, status: live.face(run, status, keeps="the model so far"))
    live.nothing_yet("Results appear when the run has ended.", "pages/lab/train.py", "Watch it learn")

evaluation = run.read("evaluation.json")
live.face(run, run.status, keeps="", is_told=bool(evaluation) and verdicts.tells_the_stop(run, evaluation))
st.set_page_config(page_title=live.tab_title(run, run.status))
if not evaluation:
    live.log(run)
    without = "A paused run has no scores yet." if run.status.state == "paused" else "This run ended without scores."
    live.nothing_yet(
        f"{without} Its messages and curves are on the Train page.",
        "pages/lab/train.py",
        "See its curves, or train again",
    )

data = scoring.dataset_seen(run)
verdicts.card(run, evaluation, data)
scoring.headline(evaluation, run)
left, right = st.columns([1, 1.6], gap="large")
with left:
    scoring.per_class(evaluation, data)
with right:
    scoring.worst_first(run, data, evaluation)
scoring.curves(run)
scoring.downloads(run)
training.next_step(run)
watching.notes_and_log(run)
