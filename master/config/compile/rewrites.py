"""Rewrites of paths and hosts, of forwarding routes and of redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config import any_types
from master.config.compile.regex import regex_fault
from master.config.compile.uri_template import Template, TemplateError, compile_rewrite, compile_template
from master.config.walk import unpack
from proxy.config.route import HostRewrite, PathRewrite
from proxy.http.h1_strict import AUTHORITY, TOKEN
from proxy.route.substitution import substitution_fault

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.type.matcher.v3.RegexMatchAndSubstitute": ("pattern", "substitution"),
    "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig": ("path_template",),
    "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig": ("path_template_rewrite",),
    "envoy.config.core.v3.TypedExtensionConfig": ("typed_config",),
}

MATCH_TEMPLATE = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
REWRITE_TEMPLATE = "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig"


def substitution(message: Any, context: Context) -> tuple[str, str]:
    """(pattern, substitution) of a `RegexMatchAndSubstitute`."""
    pattern = context.regex(message.pattern, "pattern")
    if not regex_fault(pattern) and (fault := substitution_fault(pattern, message.substitution)):
        context.error(("substitution",), fault, r"text with \0 (the match), \1 (its first group), or \\ (a backslash)")
    return pattern, message.substitution


def path_template(message: Any, context: Context) -> Template | None:
    """The `path_match_policy` of a match; None if it is none of ours, which is reported."""
    inner = extension(message, MATCH_TEMPLATE, "path_match_policy", context)
    if inner is None:
        return None
    try:
        return compile_template(inner.path_template)
    except TemplateError as error:
        context.error(("typed_config", "path_template"), str(error), "/segments/{variables}/*/**")
        return None


def path_rewrite(action: Any, match: Any, context: Context) -> PathRewrite | None:
    """What a `RouteAction` does to the path of a request that `match` took."""
    kinds = [kind for kind in ("prefix_rewrite", "regex_rewrite", "path_rewrite_policy") if _is_set(action, kind)]
    if len(kinds) > 1:
        context.error((), f"{' and '.join(kinds)} are both set", "one of them")
    if not kinds:
        return None
    if kinds[0] == "path_rewrite_policy":
        return _rewrite_by_template(action.path_rewrite_policy, match, context.at("path_rewrite_policy"))
    return plain_rewrite(action, kinds[0], context)


def plain_rewrite(message: Any, kind: str, context: Context) -> PathRewrite:
    """`prefix_rewrite` or `regex_rewrite` (`kind`) of a `RouteAction` or a `RedirectAction`."""
    if kind == "prefix_rewrite":
        return PathRewrite("prefix", message.prefix_rewrite)
    pattern, text = substitution(message.regex_rewrite, context.at("regex_rewrite"))
    return PathRewrite("regex", text, pattern)


def _is_set(action: Any, kind: str) -> bool:
    return bool(action.prefix_rewrite) if kind == "prefix_rewrite" else action.HasField(kind)


def _rewrite_by_template(message: Any, match: Any, context: Context) -> PathRewrite | None:
    inner = extension(message, REWRITE_TEMPLATE, "path_rewrite_policy", context)
    matched = unpack(match.path_match_policy.typed_config) if match.HasField("path_match_policy") else None
    if inner is None:
        return None
    if matched is None:
        context.error((), "path_rewrite_policy without path_match_policy in the match", "a match by path_match_policy")
        return None
    try:
        template = compile_template(getattr(matched, "path_template", ""))
    except TemplateError:
        return None  # said with the match
    try:
        text = compile_rewrite(inner.path_template_rewrite, template.variables)
    except TemplateError as error:
        context.error(("typed_config", "path_template_rewrite"), str(error), "/segments/{variables}")
        return None
    return PathRewrite("regex", text, f"^{template.pattern}$")


def extension(message: Any, wanted: str, what: str, context: Context) -> Any:
    """The message in a `TypedExtensionConfig`, which has to be of the type `wanted`; None otherwise, reported here or
    as unsupported."""
    inner = unpack(message.typed_config)
    if inner is None:
        return None
    if any_types.split_url(message.typed_config.type_url) != wanted:
        if context.at("typed_config").path not in context.unsupported:
            context.error(("typed_config",), f"no {what} has this type", wanted, kind="reference")
        return None
    return inner


def host_rewrite(action: Any, context: Context) -> HostRewrite | None:
    """What a `RouteAction` does to the host."""
    kind = action.WhichOneof("host_rewrite_specifier")
    if kind == "host_rewrite_literal":
        return HostRewrite("literal", host(action.host_rewrite_literal, context, kind))
    if kind == "host_rewrite_header":
        return HostRewrite("header", header_name(action.host_rewrite_header, context, kind, pseudo=True))
    if kind == "host_rewrite_path_regex":
        pattern, text = substitution(action.host_rewrite_path_regex, context.at(kind))
        return HostRewrite("path_regex", text, pattern)
    return HostRewrite("auto") if kind == "auto_host_rewrite" and action.auto_host_rewrite.value else None


def host(value: str, context: Context, *path: str) -> str:
    """An authority that stands at `path`."""
    if value and not AUTHORITY.fullmatch(value.encode()):
        context.error(path, f"{value!r} is not a host", "a name or address, and a port if need be")
    return value


PSEUDO = (":path", ":method", ":authority", ":scheme")


def header_name(value: str, context: Context, *path: str | int, pseudo: bool = False) -> str:
    """The name of a header, which stands at `path`, in lower case; `pseudo`: one of `PSEUDO` will do."""
    if value and not TOKEN.fullmatch(value.encode()) and not (pseudo and value in PSEUDO):
        context.error(path, f"{value!r} is not a header name", "a token (RFC 9110 section 5.6.2)")
    return value.lower()
