"""Questions of the leading controller to all workers of all generations. Nothing is kept here: whoever asks numbers the
questions, whoever leads gets the answers, and looking into them is not the supervisor's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from master.supervisor.child import Child
    from master.supervisor.supervisor import Supervisor

KINDS = ("sessions",)  # part of what every release's workers understand (ARCHITECTURE.md, "Hot restart")


def pass_on(supervisor: Supervisor, question: dict[str, Any]) -> None:
    """Ask every worker, or those of one "generation"; tell the leader who was asked."""
    workers = [
        (generation, worker)
        for generation in supervisor.generations
        for worker in generation.workforce.everyone()
        if worker.pid and worker.state != "hung" and question.get("generation") in (None, generation.number)
    ]
    for generation, worker in workers:
        generation.send(worker, question)
    asked = [(worker.pid, generation.number, worker.index) for generation, worker in workers]
    supervisor.leader.tell({"type": "asked", "request": question["request"], "workers": asked})


def pass_back(supervisor: Supervisor, worker: Child, answer: dict[str, Any]) -> None:
    """Give a worker's answer to the leader."""
    who = {"pid": worker.pid, "generation": worker.owner.number, "index": worker.index}
    supervisor.leader.tell({**answer, **who})
