"""The log of a training, and the checkpoint from which it goes on."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from asdlib.errors import AsdError
from asdlib.files import atomic_write
from asdlib.learn.tensors import write_tensors

LOG_COLUMNS = (
    "stage",
    "epoch",
    "learning_rate",
    "train_loss",
    "validation_loss",
    "seconds",
)
# What a file that is damaged, or of another model, makes of reading it.
UNLIKE = (SafetensorError, RuntimeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class Place:
    """How far a stage has come.

    Whole epochs, steps of the next one, and the sum of the losses of those steps.
    """

    epoch: int = 0
    step: int = 0
    total: float = 0.0


class Checkpoint:
    """The state of a stage after some epochs and steps.

    It is one safetensors file in ``folder``, replaced as a whole; beside it lies the
    log of all stages.
    """

    def __init__(self, folder: Path, stage: str):
        self.path, self.log_path = folder / "checkpoint.safetensors", folder / "log.csv"
        self.stage = stage

    def log(self) -> list[dict[str, Any]]:
        """This stage's rows of the log; :class:`AsdError` where it is damaged."""
        return [row for row in read_log(self.log_path) if row["stage"] == self.stage]

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        log: list[dict[str, Any]],
        place: Place,
    ) -> None:
        """Keep what training needs to go on from ``place``, and the log."""
        earlier = [row for row in read_log(self.log_path) if row["stage"] != self.stage]
        with atomic_write(self.log_path) as path, open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS)
            writer.writeheader()
            writer.writerows(earlier + log)
        tensors = {f"model.{name}": x for name, x in model.state_dict().items()}
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{key}": x for key, x in state.items()}
        where = {
            "epochs": str(place.epoch),
            "steps": str(place.step),
            "total": repr(place.total),
        }
        write_tensors(tensors, self.path, metadata={"stage": self.stage} | where)

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Place:
        """Bring model and optimizer to the saved state, and say which that is.

        They stay as they are where there is none, or one of another stage. Raises
        :class:`AsdError` for a file that is damaged or of another model.
        """
        if not self.path.exists():
            return Place()
        try:
            with safe_open(self.path, "pt") as file:
                about = file.metadata()
                if about["stage"] != self.stage:
                    return Place()
                place = Place(
                    int(about["epochs"]),
                    int(about["steps"]),
                    float(about["total"]),
                )
                names = file.keys()  # the file is not a dict
                tensors = {name: file.get_tensor(name) for name in names}
            weights, state = {}, optimizer.state_dict()
            for name, value in tensors.items():
                whose, rest = name.split(".", 1)
                if whose == "model":
                    weights[rest] = value
                else:
                    i, key = rest.split(".")
                    state["state"].setdefault(int(i), {})[key] = value
            model.load_state_dict(weights)
            optimizer.load_state_dict(state)
            _lay_out_as_weights(optimizer)
        except UNLIKE as error:
            raise AsdError(
                f"{self.path} is not a checkpoint of this run: delete it to train from "
                "the start"
            ) from error
        return place


def _lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Bring what an optimizer keeps of each weight into the weight's own memory format.

    A file knows none, and one kernel for all of them counts on it.
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            for key, kept in optimizer.state.get(weight, {}).items():
                if kept.shape == weight.shape:
                    laid_out = torch.empty_like(weight).copy_(kept)
                    optimizer.state[weight][key] = laid_out.detach()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``log.csv``, numbers as numbers and empty cells as None.

    No rows where there is no file. Raises :class:`AsdError` where it is damaged.
    """
    if not path.exists():
        return []
    kinds: dict[str, type] = {"epoch": int, "stage": str}

    def parsed(row: dict[str, str]) -> dict[str, Any]:
        return {k: kinds.get(k, float)(v) if v else None for k, v in row.items()}

    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            rows = [parsed(row) for row in reader]
        complete = all(row["epoch"] is not None for row in rows)
        if tuple(reader.fieldnames or ()) != LOG_COLUMNS or not complete:
            raise ValueError("other columns, or a row that was cut off")
    except (ValueError, TypeError, csv.Error, OSError) as error:
        raise AsdError(
            f"{path} is damaged ({error}): remove it; the weights do not depend on it"
        ) from error
    return rows
