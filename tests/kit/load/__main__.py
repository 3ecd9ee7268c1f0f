"""The generator itself. Each line of its standard input moves addresses; the end of it ends the load."""

from __future__ import annotations

import json
import sys
import threading

from tests.kit.load.runner import Runner


def main() -> None:
    parts, moved, stopping = json.loads(sys.argv[1]), dict[str, str](), threading.Event()
    runners = [[Runner(number, part, moved, stopping) for number in range(part["connections"])] for part in parts]
    threads = [threading.Thread(target=runner.run) for part in runners for runner in part]
    for thread in threads:
        thread.start()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        moved.update(json.loads(line))
        print(json.dumps({"moved": True}), flush=True)
    stopping.set()
    for thread in threads:
        thread.join()
    print(json.dumps([[outcome for runner in part for outcome in runner.outcomes] for part in runners]), flush=True)


if __name__ == "__main__":
    main()
