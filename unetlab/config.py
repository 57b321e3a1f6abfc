"""What one job was asked to do: `config.json`. An unknown key is an error that names the nearest known one."""

import difflib
import json
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import Field, ValidationError

from unetlab.errors import ConfigError
from unetlab.option_field import BOTH, About, Effect, Level, Options, Page
from unetlab.options import DataOptions, ImportOptions, LRFindOptions, ModelOptions, PreviewOptions
from unetlab.train_options import TrainOptions

SCHEMA_VERSION = 2
BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}  # in words, by pydantic's names
JobKind = Literal["lr_find", "train", "evaluate", "import", "preview", "forecast"]
LANE_KINDS: tuple[JobKind, ...] = ("import", "preview", "forecast")  # need no device, so they never wait
OVER_SOON: tuple[JobKind, ...] = ("preview", "forecast")  # over so soon that lists of runs leave them out


class WeightsFrom(Options):
    """The run whose weights a job begins with, and which of its weights."""

    run: str
    which: Literal["best", "last"] = "best"


class LRFrom(Options):
    """The sweep that the learning rate comes from, and which point of its curve.

    `lr`: the rate at that point, which train.max_lr then equals. None: the sweep had not ended when the run was
    created; its worker looks the rate up before training, and takes the next pick if this one was declined
    (runs/sweep_rate.py).
    """

    sweep: str
    pick: Literal["min_gradient", "min_loss_tenth", "valley", "min_gradient_no_lag", "min_loss_tenth_no_lag"] = (
        "min_gradient"
    )
    lr: float | None = None


class RunConfig(Options):
    """Everything one job was asked to do: `config.json` of a run folder."""

    schema_version: int = SCHEMA_VERSION
    kind: JobKind
    dataset: str
    weights_from: WeightsFrom | None = Field(default=None, description="evaluate: the weights that are scored.")
    form_from: str | None = Field(default=None, description="The run whose options this one took over.")
    lr_from: LRFrom | None = Field(default=None, description="train: the sweep that max_lr is taken from.")
    lr_source: str = Field(
        default="typed", description="Where max_lr came from, in words: a pick and its run, 'typed' or 'default'."
    )
    plan: str | None = Field(default=None, description="The plan that the run belongs to.")
    role: str | None = Field(default=None, description="The run's role in its plan.")
    devices: int = Field(default=1, ge=1, le=1024, description="train: number of processes that share each step.")
    sync_batchnorm: bool = Field(default=False, description="BatchNorm over the pictures of all devices (CUDA only).")
    data: DataOptions = DataOptions()
    model: ModelOptions = ModelOptions()
    train: TrainOptions = TrainOptions()
    lr_find: LRFindOptions = LRFindOptions()
    importing: ImportOptions | None = None
    preview: PreviewOptions | None = None

    @property
    def num_processes(self) -> int:
        """Number of processes that share the job, one per device; only training can be shared."""
        return self.devices if self.kind == "train" else 1

    @property
    def pictures_at_a_time(self) -> int:
        """Pictures that go through the network at a time on one device, unless memory ran out."""
        return min(self.train.batch_size, -(-self.train.pictures_per_step // self.num_processes))

    def with_pick(self, sweep: str, pick: str, lr: float) -> "RunConfig":
        """A copy that trains with the rate `lr`, which is the `pick` of the run `sweep`."""
        source = {"sweep": sweep, "pick": pick, "lr": lr}
        return self.changed({"train.max_lr": lr}, lr_from=source, lr_source=f"{pick} of {sweep}")

    def value(self, key: str) -> Any:
        """The value of the option with this dotted key, such as `model.depth`."""
        group, _, name = key.partition(".")
        return getattr(getattr(self, group), name)

    def changed(self, changes: dict[str, Any], **top: Any) -> "RunConfig":
        """A copy with dotted keys such as `model.depth` replaced and checked. Raises ConfigError."""
        values = self.model_dump() | top
        for key, value in changes.items():
            group, _, name = key.partition(".")
            if key not in option_fields():
                raise ConfigError(_unknown_key(key))
            values[group] = {**values[group], name: value}
        return load_config(values)


GROUPS: dict[str, type[Options]] = {  # in the order of the forms
    "train": TrainOptions,
    "data": DataOptions,
    "model": ModelOptions,
    "lr_find": LRFindOptions,
}


@cache
def option_fields() -> dict[str, Any]:
    """Every option by its dotted key, as pydantic FieldInfo (title, description, default, bounds)."""
    return {f"{group}.{name}": field for group, model in GROUPS.items() for name, field in model.model_fields.items()}


@cache
def about(key: str) -> About:
    """The pages, the level and the effects of an option."""
    return About(**option_fields()[key].json_schema_extra)


@cache
def choices(key: str) -> tuple[Any, ...]:
    """The values of an option that have a name, also where a number is allowed beside them; empty without names."""
    kind = option_fields()[key].annotation
    return next((get_args(part) for part in (kind, *get_args(kind)) if get_origin(part) is Literal), ())


def takes_number(key: str) -> bool:
    """Whether an option with named values may be a number as well."""
    return bool({int, float} & set(get_args(option_fields()[key].annotation)))


def keys_on(page: Page, level: Level) -> list[str]:
    """The options that a page's form shows at this level, in the order of the fields; none with a single choice."""
    return [
        key
        for key in option_fields()
        if (len(choices(key)) != 1 or takes_number(key)) and page in about(key).pages and about(key).level == level
    ]


@cache
def with_effect(effect: Effect) -> tuple[str, ...]:
    """The options that change a step's time, a run's peak memory, or its result."""
    return tuple(key for key in option_fields() if effect in about(key).effects)


def costs(config: RunConfig, effect: Literal["speed", "memory"]) -> tuple[Any, ...]:
    """The values that decide a step's time, or a run's peak memory: configs with equal values cost the same."""
    values = {key: config.value(key) for key in with_effect(effect)}
    return tuple(value > 0 if about(key).zero_is_off else value for key, value in values.items())


def is_same_problem(first: RunConfig, second: RunConfig) -> bool:
    """Whether a sweep of one is valid for the other: same data set, same values of what changes both jobs' results.

    Options that only training reads (rate, schedule, length, what is kept) or only a sweep reads may differ.
    """
    keys = [key for key in with_effect("result") if set(about(key).pages) == set(BOTH)]
    return first.dataset == second.dataset and all(first.value(key) == second.value(key) for key in keys)


def load_config(values: dict[str, Any]) -> RunConfig:
    """The checked config. Raises ConfigError naming the key, what was given and what is allowed."""
    version = values.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ConfigError(
            f"This run was written by a newer unetlab (schema {version!r}; this one reads up to {SCHEMA_VERSION}). "
            "Update unetlab to open it."
        )
    if version == 1:
        values = _from_schema_1(values)
    if values.get("kind") != "train":  # a sweep or a score made from a training's options waits for no rate
        values = {**values, "lr_from": None}
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem) for problem in error.errors())) from None
    if config.lr_find.end_lr <= config.lr_find.start_lr:
        raise ConfigError(
            f"lr_find.end_lr is {config.lr_find.end_lr:g}, not above lr_find.start_lr ({config.lr_find.start_lr:g})."
        )
    if config.devices > 1 and config.train.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"{config.devices} devices were asked for, but train.device is {config.train.device}, a single one. "
            "Set train.device to cuda for the first GPUs, or to cpu."
        )
    for kind, group in (("import", "importing"), ("preview", "preview")):
        if config.kind == kind and getattr(config, group) is None:
            raise ConfigError(f"A job of kind {kind!r} needs its options under {group!r}.")
    return config


def _from_schema_1(values: dict[str, Any]) -> dict[str, Any]:
    """There `parent` meant weights, form or sweep, and a sweep with `then_train` started training when it ended."""
    values = {**values, "schema_version": SCHEMA_VERSION}
    values.pop("then_train", None)
    parent = values.pop("parent", None)
    pick, _, sweep = values.get("lr_source", "").partition(" of ")
    if parent and values.get("kind") == "evaluate":
        values["weights_from"] = {"run": parent}
    elif parent and parent != sweep:
        values["form_from"] = parent
    if pick in ("min_gradient", "min_loss_tenth", "valley"):
        values["lr_from"] = {"sweep": sweep, "pick": pick, "lr": values["train"]["max_lr"]}
    return values


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """`["model.depth=4"]` as `{"model.depth": 4}`: values are JSON where they parse, else text. Raises ConfigError."""
    changes: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting!r} has no '='. Write --set model.depth=4.")
        if key not in option_fields():
            raise ConfigError(_unknown_key(key))
        try:
            changes[key] = json.loads(value)
        except ValueError:
            changes[key] = value
    return changes


def parse_rate(text: str) -> float:
    """The learning rate that a person typed. Raises ConfigError with the names of the picks, the nearest first."""
    try:
        return float(text)
    except ValueError:
        picks = get_args(LRFrom.model_fields["pick"].annotation)
        near = difflib.get_close_matches(text, picks, len(picks), 0.0)
        raise ConfigError(
            f"--lr {text!r} is neither a pick nor a number. Picks: {', '.join(near)}; or give a rate such as 1e-3."
        ) from None


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return _unknown_key(key)
    return f"{key}: {_said(problem, option_fields().get(key))}."


def fault(key: str, value: Any) -> str | None:
    """What is wrong with a value of an option: "must be above 0 and at most 100, not 200"; None for a good one."""
    group, _, name = key.partition(".")
    try:
        GROUPS[group].model_validate({name: value})
    except ValidationError as error:
        return _said(error.errors()[0], option_fields()[key])
    return None


def _said(problem: Any, field: Any) -> str:
    """One of pydantic's problems with a value of `field`, where that is an option, in words for a person."""
    given, kind, about = problem["input"], problem["type"], problem.get("ctx", {})
    shown = _shown(given)
    if about.keys() & BOUNDS.keys():
        parts = field.metadata if field else []
        allowed = {name: getattr(part, name) for part in parts for name in BOUNDS if hasattr(part, name)} or about
        asked = " and ".join(f"{BOUNDS[name]} {_shown(bound)}" for name, bound in allowed.items())
        return f"must be {asked}, not {shown}"
    words = {
        "literal_error": f"is not {about.get('expected')}",
        "finite_number": "is not a finite number",
    }
    if kind.startswith(("int_", "float_")):
        return f"{shown} is not a {'whole ' if kind.startswith('int_') else ''}number"
    message = problem["msg"]
    own = message if message.startswith("is ") else f"is not allowed: {message[0].lower()}{message[1:]}"
    return f"{shown} {words.get(kind, own)}"


def _shown(given: Any) -> str:
    return f"{given:g}" if isinstance(given, float) else repr(given)


def _unknown_key(key: str) -> str:
    known = [*option_fields(), *RunConfig.model_fields]
    by_name = {name.split(".")[-1]: name for name in known}
    near = difflib.get_close_matches(key, known, 1, 0.5)
    near = near or [by_name[n] for n in difflib.get_close_matches(key.split(".")[-1], list(by_name), 1, 0.5)]
    hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(option_fields())}."
    return f"Unknown option {key!r}.{hint}"
