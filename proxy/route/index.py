"""The routes of one virtual host, indexed by path. The rule is Envoy's: the first route in listed order that matches.

Each route stands under a key, a path or a beginning of paths. Keys form a forest: below `/a` stands `/a/b`. A path's
candidates are the routes of the longest key that fits it and of that key's ancestors, in listed order, up to the first
route that asks nothing more. So candidates differ from a linear scan's only in what the path already rules out; what a
key does not prove (a regex, headers) is asked of each candidate in turn. A regex stands under its literal beginning;
many regexes under one key are one RE2 set, which names those that match.
"""

from __future__ import annotations

import heapq
import itertools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from proxy.route.entry import RouteEntry
from proxy.route.matcher import RequestHead
from proxy.route.prefixes import LongestPrefix
from proxy.route.regex import compile_regexes, literal_prefix

Listed = tuple[int, RouteEntry]
"""Place in the listed order, and the route."""

Check = Callable[[bytes, RequestHead], bool]
Candidate = tuple[int, RouteEntry, Check | None]
"""Place in the listed order, route, and what is still to be asked of (path without query, request)."""

_place = operator.itemgetter(0)

FEW_REGEXES = 4
"""So many regexes of one key are asked one by one; asking a set costs as much as two of them."""

MERGED = 64
"""The longest list that a key makes of its own candidates and its ancestors' when the table is built. Longer ones are
merged when asked for: 5,000 keys below one with 5,000 conditional routes would need 25 million places."""


class _Key:
    """The routes that stand under one key, and the next shorter key that is a beginning of it."""

    __slots__ = ("_above", "_first", "_own", "_regexes", "merged")

    def __init__(self, own: Iterable[Candidate], regexes: Sequence[Listed], above: _Key | None) -> None:
        if len(regexes) <= FEW_REGEXES:
            one_by_one = [(place, entry, _check(entry, path_is_proven=False)) for place, entry in regexes]
            own, regexes = [*own, *one_by_one], ()
        self._own = _up_to_the_first_certain(sorted(own, key=_place))
        certain = self._own[-1] if self._own and self._own[-1][2] is None else None
        if certain is not None:  # nothing beyond it is ever reached
            regexes = [listed for listed in regexes if listed[0] < certain[0]]
            above = above if above is not None and above._first < certain[0] else None
        self._regexes = _RegexGroup(regexes) if regexes else None
        self._above = above
        self._first: int = min(
            [candidate[0] for candidate in self._own[:1]]
            + [place for place, _ in regexes[:1]]
            + ([] if above is None else [above._first])
        )
        self.merged = self._merge()

    def _merge(self) -> tuple[Candidate, ...] | None:
        """All candidates, if that is a short list and the same for all paths; else None."""
        if self._regexes is not None:
            return None
        if self._above is None:
            return self._own
        if self._above.merged is None:
            return None
        both = heapq.merge(self._own, self._above.merged, key=_place)
        merged = _up_to_the_first_certain(itertools.islice(both, MERGED + 1))
        return merged if len(merged) <= MERGED else None

    def candidates(self, path: bytes) -> Iterable[Candidate]:
        """In listed order. Once one matches, the others are of no interest."""
        if self.merged is not None:
            return self.merged
        sources: list[Sequence[Candidate]] = []
        key: _Key | None = self
        while key is not None:
            sources.append(key._own)
            if key._regexes is not None:
                sources.append(key._regexes.candidates(path))
            key = key._above
        if sum(map(len, sources)) > MERGED:
            return heapq.merge(*sources, key=_place)  # dear, but only as far as it is read
        return sorted(itertools.chain.from_iterable(sources), key=_place)


class _RegexGroup:
    """Routes whose regexes are asked all at once."""

    __slots__ = ("_candidates", "_matching")

    def __init__(self, regexes: Sequence[Listed]) -> None:
        self._matching = compile_regexes([entry.route.match.value for _, entry in regexes])
        self._candidates = [(place, entry, _check(entry, path_is_proven=True)) for place, entry in regexes]

    def candidates(self, path: bytes) -> list[Candidate]:
        return [self._candidates[index] for index in self._matching(path)]


class RouteIndex:
    """The index of `routes`, which are in listed order."""

    __slots__ = ("_fold", "_paths", "_prefixes")

    def __init__(self, routes: Sequence[RouteEntry]) -> None:
        # If one route ignores case, all keys are in lower case, and a route that does not asks for the path itself.
        self._fold = any(_ignores_case(entry) for entry in routes)
        under_path: defaultdict[bytes, list[Candidate]] = defaultdict(list)
        under_prefix: defaultdict[bytes, list[Candidate]] = defaultdict(list)
        under_regex: defaultdict[bytes, list[Listed]] = defaultdict(list)
        for place, entry in enumerate(routes):
            match = entry.route.match
            if match.kind == "regex":
                under_regex[self._key(literal_prefix(match.value))].append((place, entry))
                continue
            key = self._key(match.value.encode())
            proven = key == match.value.encode().upper() or not self._fold or _ignores_case(entry)
            candidate = (place, entry, _check(entry, path_is_proven=proven))
            if match.kind != "prefix":
                under_path[key].append(candidate)
            if match.kind == "path_separated_prefix":
                key += b"/"
            if match.kind != "path":
                under_prefix[key].append(candidate)
        keys = _forest(under_prefix, under_regex)
        self._prefixes = LongestPrefix(keys)
        self._paths = {path: _Key(own, (), self._prefixes.find(path)) for path, own in under_path.items()}

    def _key(self, text: bytes) -> bytes:
        return text.lower() if self._fold else text

    def candidates(self, path: bytes) -> Iterable[Candidate]:
        """Every route that may take a request for `path` (without query), in listed order."""
        text = path.lower() if self._fold else path
        key = self._paths.get(text) or self._prefixes.find(text)
        if key is None:
            return ()
        return key.candidates(path) if key.merged is None else key.merged

    def find(self, path: bytes, request: RequestHead) -> RouteEntry | None:
        """The first route that takes `request`, whose path without query is `path`."""
        for _, entry, check in self.candidates(path):
            if check is None or check(path, request):
                return entry
        return None


def _forest(own: dict[bytes, list[Candidate]], regexes: dict[bytes, list[Listed]]) -> dict[bytes, _Key]:
    keys: dict[bytes, _Key] = {}
    branch: list[bytes] = []  # each a beginning of the next; keys come in the order of a walk through the forest
    for text in sorted(own.keys() | regexes.keys()):
        while branch and not text.startswith(branch[-1]):
            branch.pop()
        keys[text] = _Key(own.get(text, ()), regexes.get(text, ()), keys[branch[-1]] if branch else None)
        branch.append(text)
    return keys


def _ignores_case(entry: RouteEntry) -> bool:
    return entry.route.match.kind != "regex" and not entry.route.match.case_sensitive


def _check(entry: RouteEntry, *, path_is_proven: bool) -> Check | None:
    """What is to be asked of a candidate; None if nothing is. `RouteEntry.matches`, without what is known."""
    if not path_is_proven:
        path_matches = entry.path_matches
        return entry.matches if entry.conditions else lambda path, _: path_matches(path)
    if len(entry.conditions) > 1:
        return lambda _, request: entry.accepts(request)
    if not entry.conditions:
        return None
    (condition,) = entry.conditions
    return lambda _, request: condition(request)


def _up_to_the_first_certain(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """What comes after a candidate of which nothing more is asked is never reached."""
    found = []
    for candidate in candidates:
        found.append(candidate)
        if candidate[2] is None:
            break
    return tuple(found)
