"""How long a report takes when the median pruner has many trials and steps."""

from tests.benchmarks.driver import Connection, p50
from tests.benchmarks.findings import Found, Line, figure
from tests.benchmarks.histories import History, home_with, spec
from tests.benchmarks.run import Run
from tests.benchmarks.servers import ours

STEPS = 50


def measure(run: Run) -> Found:
    """Report p50 over ping p50."""
    history = History(
        trials=run.size(10_000, 1_000),
        steps=STEPS,
        spec=spec("random", pruner={"name": "median"}),
    )
    home = home_with(run, history)
    run.say(f"Reporting to a study of {history.trials:,} trials of {STEPS} steps")
    trials = f"/optunapi/v1/studies/{history.study}/trials"
    reports, pings = [], []
    with ours(home) as server:
        connection = Connection(server.port)
        for _ in range(run.size(20, 3)):
            number = connection.request("POST", trials)[0]["number"]
            for step in range(STEPS):
                pings.append(connection.ping())
                report = {"step": step, "value": 0.5 + 1 / (step + 1)}
                reports.append(connection.request("POST", f"{trials}/{number}/report", report)[1])
            connection.request("POST", f"{trials}/{number}/tell", {"value": 0.5})
        connection.close()
    took, ping = p50(reports), p50(pings)
    line = Line(
        name="report",
        work=(
            f"report p50 with the median pruner, {history.trials:,} trials x {STEPS} steps, "
            "÷ ping p50"
        ),
        value=took / ping,
        floor=8,
        goal=4,
        detail=f"{figure(took)} ms; a ping {figure(ping)} ms",
    )
    return Found(lines=(line,))
