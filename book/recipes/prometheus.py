"""For Prometheus: the last window of each machine, as a file for the textfile collector of its node exporter.

asd stream --run RUN --machine fan/id_00 --json | python prometheus.py /var/lib/node_exporter/asd_fan.prom
"""

import json
import os
import sys
from datetime import datetime

last, gaps = {}, {}
for line in sys.stdin:
    row = json.loads(line)
    machine = json.dumps(row["machine"], ensure_ascii=False)  # in quotes
    gaps[machine] = gaps.get(machine, 0) + ("event" in row)
    if "event" not in row:
        last[machine] = row
    lines = ["# TYPE asd_gaps_total counter"]
    lines += [
        f"asd_gaps_total{{machine={name}}} {n}" for name, n in gaps.items()
    ]
    for field in ("score", "threshold", "alarm", "silent", "time"):
        lines.append(f"# TYPE asd_{field} gauge")
        for name, window in last.items():
            value = window[field]
            if (
                field == "time"
            ):  # in seconds, so that one can see when they stop
                value = datetime.fromisoformat(value).timestamp()
            if value is not None:
                lines.append(
                    f"asd_{field}{{machine={name}}} {float(value)!r}"
                )
    with open(sys.argv[1] + ".new", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    os.replace(sys.argv[1] + ".new", sys.argv[1])  # never half a file
