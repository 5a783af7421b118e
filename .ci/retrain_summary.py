"""Prints a report of .ci/retrain as Markdown: retrain_summary.py REPORT EXIT_CODE."""

import json
import sys
from pathlib import Path


def main(report: Path, code: str) -> None:
    text = (report / "retrain.json").read_text()
    if not text:
        print(f"### Retraining: the request was refused (exit code {code})\n\n```")
        print((report / "retrain.log").read_text().strip()[-4000:] + "\n```")
        return
    result = json.loads(text)
    pushed = ", but no model was pushed" if code == "3" else ""
    print(f"### Retraining of {result['pipeline']}: {result['outcome']}{pushed}\n")
    print("| trigger | value | threshold | answer | reason |\n|---|---|---|---|---|")
    for each in result["triggers"]:
        cells = (each[key] for key in ("trigger", "value", "threshold", "answer", "reason"))
        print("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if result["message"]:
        print(f"\n```\n{result['message'][-4000:]}\n```")
    run = report / "run.txt"
    if run.exists():
        print(f"\n<details><summary>Run {result['run_id']}</summary>\n\n```\n{run.read_text()}```")
        print("\n</details>")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
