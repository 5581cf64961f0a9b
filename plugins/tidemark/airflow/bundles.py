"""DAG bundles: from where a run has its files, by name and version, and where these are."""

from pathlib import Path

from tidemark.errors import Unavailable, UsageError


def bundle_name(name: str, version: str | None) -> str:
    """Return a bundle as the record has it: with its version where it has one."""
    return f"{name}@{version}" if version else name


def bundle_folder(name: str, version: str | None) -> Path:
    """Return the folder of a bundle's files, which is brought here if need be.

    Args:
        name: as ``[dag_processor] dag_bundle_config_list`` has it.
        version: such as a git commit; None: the newest.

    Raises:
        UsageError: Airflow's configuration knows no bundle of that name.
        Unavailable: its files cannot be brought here.

    """
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    try:
        manager = DagBundlesManager()  # type: ignore[no-untyped-call]
        known = set(manager.get_all_bundle_names())
        if name not in known:
            raise UsageError(
                f"Airflow knows no DAG bundle {name!r} here; there are {', '.join(sorted(known)) or 'none'}: give this "
                "place the same [dag_processor] dag_bundle_config_list"
            )
        bundle = manager.get_bundle(name, version)
        bundle.initialize()
    except UsageError:
        raise
    except Exception as problem:  # whatever git, the network or a disk say
        raise Unavailable(
            f"the DAG bundle {bundle_name(name, version)} cannot be brought here: {type(problem).__name__}: {problem}"
        ) from problem
    if not bundle.path.is_dir():
        raise Unavailable(f"the DAG bundle {bundle_name(name, version)} has no folder {bundle.path} here")
    return bundle.path
