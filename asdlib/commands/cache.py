"""The feature cache: how large it is, and emptying it."""

import json
from typing import Annotated

import typer

from asdlib.commands import Cache, Json, app, print_table


@app.command()
def cache(
    cache: Cache = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all that is in it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Where computed features are kept, how many and how large; --clear removes them.

    $ASDLIB_CACHE names another folder. When it grows beyond 50 GB, or what
    $ASDLIB_CACHE_GB says, what was not used for longest is removed.
    """
    from asdlib.sound import cache_size

    held = cache_size.clear(cache) if clear else cache_size.usage(cache)
    uses = held.oldest_use, held.newest_use
    oldest, newest = (
        use and use.isoformat(sep=" ", timespec="seconds") for use in uses
    )
    content = {
        "folder": str(held.folder),
        "clips": held.clips,
        "megabytes": round(held.bytes / 1e6, 1),
        "oldest use": oldest,
        "newest use": newest,
        "limit in GB": cache_size.limit() / 1e9,
    }
    if as_json:
        print(json.dumps(content | {"cleared": clear}, indent=1))
    elif clear:
        megabytes = content["megabytes"]
        print(f"removed {held.clips} clips, {megabytes} MB, from {held.folder}")
    else:
        rows = [(name, "-" if x is None else str(x)) for name, x in content.items()]
        print_table("feature cache", ("", ""), rows)
