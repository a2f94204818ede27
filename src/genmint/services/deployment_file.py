"""Reading and validation of prefect.yaml with Prefect's own code, without server changes.

Prefect resolves variables, blocks and templates and loads the flows, in a separate process, up to
the step that would write. The whole file is therefore validated before anything is changed, and
every key has the meaning in Prefect's documentation.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import __version__

from genmint.common.errors import ConfigError
from genmint.common.files import sha256_file, sha256_json, write_json
from genmint.common.layout import DEPLOYMENTS
from genmint.common.reading import read_json, read_yaml
from genmint.services.parameter_form import names_to_choose, with_fields

# Prefix of the slugs of schedules from a file; schedules added by people have none or another.
SLUG = "genmint-"
OFF = "off-"
_STEP = "deployment: "
_NOBODY = UUID(int=0)


@dataclass(frozen=True)
class DeploymentFile:
    """Content of a prefect.yaml.

    Attributes:
        path: path of the file.
        project: its `name`, which identifies the project's deployments.
        formerly: earlier names of the project.
        deployments: full name (flow/deployment) to `fields` (as in Prefect's API), `paused` (null
            if not given), `schedules` and `triggers`.
    """

    path: Path
    project: str
    formerly: frozenset[str]
    deployments: dict[str, dict[str, Any]]


def read_deployment_file(root: Path, environment: Mapping[str, str], cache: Path) -> DeploymentFile:
    """Read and check prefect.yaml of a project.

    Args:
        root: folder of prefect.yaml, in which flows are loaded.
        environment: environment of the process that reads it; `PREFECT_API_URL` names the server
            whose variables, blocks and work pools are used.
        cache: cache file of the result, valid while neither prefect.yaml nor a flow file changes;
            loading all flows takes seconds.

    Raises:
        ConfigError: the file is not valid; the message names the key or deployment.
    """
    file = root / DEPLOYMENTS
    text = read_yaml(file)
    project, formerly = _check(file, text)
    key = _key(file, text)
    known = read_json(cache) if key is not None and cache.exists() else {}
    if known.get("of") == key and key is not None:
        deployments = known["deployments"]
    else:
        deployments = _load(file, environment)
        write_json(cache, {"of": key, "deployments": deployments})
    # Not in the cache, since the names change with params.yaml.
    names = names_to_choose(root)
    for each in deployments:
        fields = each["fields"]
        schema = fields["parameter_openapi_schema"]
        fields["parameter_openapi_schema"] = with_fields(schema, names)
    return _declared(file, project, formerly, deployments)


def _declared(
    file: Path, project: str, formerly: frozenset[str], loaded: list[dict[str, Any]]
) -> DeploymentFile:
    deployments: dict[str, dict[str, Any]] = {}
    for each in loaded:
        if each["name"] in deployments:
            raise ConfigError(
                f"{file}: {each['name']} occurs twice; names within a flow must differ"
            )
        deployments[each["name"]] = each
    return DeploymentFile(file, project, formerly, deployments)


def _key(file: Path, text: dict[str, Any]) -> str | None:
    """Return the cache key; None if the result depends on the server or the environment."""
    # Templates and steps can yield other values while the file is unchanged.
    if "{{" in file.read_text(encoding="utf-8") or {"build", "push"} & set(text):
        return None
    modules = {each["entrypoint"].partition(":")[0] for each in text["deployments"]}
    paths = [file.parent / module for module in sorted(modules)]
    if not all(path.is_file() for path in paths):
        return None
    return sha256_json([__version__, *(sha256_file(path) for path in (file, *paths))])


def _load(file: Path, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="genmint-") as folder:
        out = Path(folder) / "declared.json"
        done = subprocess.run(
            [sys.executable, "-m", "genmint.services.deployment_file", str(file), str(out)],
            cwd=file.parent,
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ConfigError(f"{file}: {_reason(done.stderr)}")
        deployments: list[dict[str, Any]] = read_json(out)
    return deployments


def _check(file: Path, text: Any) -> tuple[str, frozenset[str]]:
    """Reject errors that Prefect would silently ignore; return `name` and `formerly`."""
    if not isinstance(text, dict) or not isinstance(text.get("deployments"), list):
        raise ConfigError(f"{file}: has no list `deployments`. To remove all: `deployments: []`")
    project = text.get("name")
    if not isinstance(project, str) or not project.strip():
        raise ConfigError(
            f"{file}: `name` is missing. It marks the deployments of this project on the server; "
            "write `name: genmint`, or another where two projects share a server"
        )
    formerly = text.get("formerly", [])
    if not isinstance(formerly, list) or not all(isinstance(each, str) for each in formerly):
        raise ConfigError(f"{file}: `formerly` is a list of earlier values of `name`")
    for number, each in enumerate(text["deployments"], start=1):
        _check_deployment(file, number, each)
    return project, frozenset(formerly)


def _check_deployment(file: Path, number: int, entry: Any) -> None:
    from prefect.cli.deploy._models import DeploymentConfig

    where = f"{file}: deployment {number}"
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: a map of keys is expected")
    for key in ("name", "entrypoint"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ConfigError(f"{where} ({entry.get('name')}): `{key}` is missing")
    unknown = sorted(set(entry) - set(DeploymentConfig.model_fields))
    if unknown:
        raise ConfigError(
            f"{where} ({entry['name']}): no such key: {', '.join(unknown)}. "
            f"There are: {', '.join(DeploymentConfig.model_fields)}"
        )
    if entry.get("sla"):
        raise ConfigError(f"{where} ({entry['name']}): `sla` is for Prefect Cloud only")


def _reason(stderr: str) -> str:
    """Return the deployment that was being read, and the last error message."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    steps = [line.removeprefix(_STEP) for line in lines if line.startswith(_STEP)]
    # pydantic states the cause of a validation error in the last line but one.
    messages = [line for line in lines if "errors.pydantic.dev" not in line]
    last = messages[-1].strip() if messages else "Prefect refused it"
    return f"{steps[-1]}: {last}" if steps else last


def slug_of(schedule: Mapping[str, Any]) -> str:
    """Return the slug that identifies a schedule on the server: a hash of its definition."""
    name = schedule["slug"]
    off = OFF if schedule["active"] is False else ""
    return f"{SLUG}{off}{sha256_json(dict(schedule))[:12]}" + (f"-{name}" if name else "")


async def _read(file: Path) -> list[dict[str, Any]]:
    """Let Prefect process `file` up to the steps that would write to the server."""
    from prefect.cli.deploy import _config, _core
    from prefect.client.orchestration import get_client
    from rich.console import Console

    console = Console(file=StringIO())
    configured, actions = _config._load_deploy_configs_and_actions(file, console=console)
    declarations = read_yaml(file)["deployments"]
    if len(configured) != len(declarations):
        raise ConfigError(" ".join(console.file.getvalue().split()))  # type: ignore[attr-defined]
    with _intercepted(_core) as recorded:
        async with get_client() as client:
            for each in configured:
                sys.stderr.write(f"{_STEP}{each['name']}\n")
                await _core._run_single_deploy(
                    each,
                    actions,
                    client=client,
                    prefect_file=file,
                    console=console,
                    is_interactive=lambda: False,
                )
                # Prefect turns an absent value into False.
                recorded[-1]["paused"] = each.get("paused")
                await _check_values(client, recorded[-1])
    return recorded


@contextlib.contextmanager
def _intercepted(core: Any) -> Iterator[list[dict[str, Any]]]:
    """Replace the two writing steps of Prefect's deployment; yield the list of their arguments."""
    recorded: list[dict[str, Any]] = []
    original = core.RunnerDeployment, core._create_deployment_triggers

    class Recorded(core.RunnerDeployment):  # type: ignore[misc]
        async def apply(self, schedules: list[dict[str, Any]] | None = None) -> UUID:
            recorded.append(_described(self, schedules or []))
            return _NOBODY

    async def record(_client: object, _id: UUID, triggers: list[Any]) -> None:
        recorded[-1]["triggers"] = [_bare(trigger.model_dump(mode="json")) for trigger in triggers]

    core.RunnerDeployment, core._create_deployment_triggers = Recorded, record
    try:
        yield recorded
    finally:
        core.RunnerDeployment, core._create_deployment_triggers = original


def _bare(value: Any) -> Any:
    """Return a trigger without the ids that its parts get at each read."""
    if isinstance(value, dict):
        return {key: _bare(each) for key, each in value.items() if key != "id"}
    return [_bare(each) for each in value] if isinstance(value, list) else value


def _described(deployment: Any, schedules: list[dict[str, Any]]) -> dict[str, Any]:
    steps = deployment.storage.to_pull_step()
    simple = (
        *("description", "version", "tags", "parameters", "entrypoint", "enforce_parameter_schema"),
        *("work_pool_name", "work_queue_name", "job_variables"),
        *("concurrency_limit", "concurrency_options"),
    )
    schema = deployment._parameter_openapi_schema.model_dump(mode="json", exclude_unset=True)
    return {
        "name": deployment.full_name,
        "fields": {
            **deployment.model_dump(mode="json", include=set(simple)),
            "path": None,
            "pull_steps": steps if isinstance(steps, list) else [steps] if steps else [],
            "parameter_openapi_schema": schema,
        },
        "schedules": [_schedule(each) for each in schedules],
        "triggers": [],
    }


def _schedule(schedule: dict[str, Any]) -> dict[str, Any]:
    """Return the relevant fields of a schedule; a default anchor date is removed."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    given = schedule["schedule"].model_fields_set
    complete = DeploymentScheduleCreate(schedule=schedule["schedule"]).schedule.model_dump(
        mode="json"
    )
    if "anchor_date" not in given:
        complete.pop("anchor_date", None)
    return {
        "schedule": complete,
        "active": schedule.get("active"),
        "parameters": schedule.get("parameters") or {},
        "slug": schedule.get("slug"),
    }


async def _check_values(client: Any, deployment: dict[str, Any]) -> None:
    """Check values that the server would reject only after other changes were made."""
    from prefect.client.schemas.actions import DeploymentUpdate
    from prefect.utilities.schema_tools import validate

    fields = deployment["fields"]
    limit = fields["concurrency_limit"]
    if limit is not None and limit < 1:
        raise ConfigError(f"concurrency_limit {limit}: 1 or more, or leave it out")
    slugs = [slug_of(schedule) for schedule in deployment["schedules"]]
    if len(set(slugs)) != len(slugs):
        raise ConfigError("the same schedule occurs twice")
    if fields["enforce_parameter_schema"]:
        for parameters in (fields["parameters"], *_overridden(deployment)):
            validate(
                parameters,
                fields["parameter_openapi_schema"],
                raise_on_error=True,
                ignore_required=True,
            )
    pool = await client.read_work_pool(fields["work_pool_name"])
    DeploymentUpdate(job_variables=fields["job_variables"]).check_valid_configuration(
        pool.base_job_template
    )


def _overridden(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    own = deployment["fields"]["parameters"]
    return [{**own, **schedule["parameters"]} for schedule in deployment["schedules"]]


if __name__ == "__main__":
    write_json(Path(sys.argv[2]), asyncio.run(_read(Path(sys.argv[1]))))
