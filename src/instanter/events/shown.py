"""Fields by which shops and feeds say that something is not to be shown, whatever its stock.

Of a field that is not known for certain nothing is concluded: a `status` may be anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_SHOWN_IF_TRUE: Final = frozenset({
    "active", "isactive", "visible", "isvisible", "enabled", "isenabled", "published", "ispublished", "productonline",
    "aktiv", "istaktiv", "aktiviert", "sichtbar", "veröffentlicht", "veroeffentlicht", "freigegeben", "freigeschaltet",
    "actif", "estactif", "activé", "publié", "publie", "actief", "isactief", "zichtbaar", "gepubliceerd", "activo",
    "activa", "habilitado", "publicado", "attivo", "attiva", "visibile", "pubblicato", "ativo", "visível", "visivel",
    "aktywny", "synlig",
})  # fmt: skip
_HIDDEN_IF_TRUE: Final = frozenset({
    "hidden", "ishidden", "deleted", "isdeleted", "discontinued", "isdiscontinued", "archived", "isarchived",
    "disabled", "isdisabled", "inactive", "isinactive", "inaktiv", "gelöscht", "geloescht", "versteckt", "ausgeblendet",
    "archiviert", "deaktiviert", "gesperrt", "auslaufartikel", "inactif", "supprimé", "supprime", "masqué", "archivé",
    "désactivé", "inactief", "verwijderd", "verborgen", "gearchiveerd", "uitgeschakeld", "inactivo", "eliminado",
    "oculto", "archivado", "deshabilitado", "descatalogado", "inattivo", "eliminato", "nascosto", "archiviato",
    "disattivato", "inativo",
})  # fmt: skip
_IN_WORDS: Final = frozenset({
    "status", "productstatus", "itemstatus", "poststatus", "visibility", "catalogvisibility", "visibilityincatalog",
    "artikelstatus", "produktstatus", "sichtbarkeit", "statut", "stato",
})  # fmt: skip
HIDING: Final = _SHOWN_IF_TRUE | _HIDDEN_IF_TRUE | _IN_WORDS
"""How such fields are called, in small letters and digits alone."""
_TRUE: Final = frozenset({
    "true", "yes", "y", "on", "1", "1.0", "t", "ja", "j", "wahr", "oui", "vrai", "sí", "si", "sì", "verdadero", "vero",
    "sim", "waar", "tak",
})  # fmt: skip
_FALSE: Final = frozenset({
    "false", "no", "n", "off", "0", "0.0", "-1", "f", "nein", "falsch", "non", "faux", "nee", "onwaar", "falso", "não",
    "nao", "nie", "nej",
})  # fmt: skip
_HIDES: Final = frozenset({
    "inactive", "archived", "draft", "private", "trash", "trashed", "pending", "auto-draft", "hidden", "disabled",
    "deleted", "unpublished", "discontinued", "not visible individually", "false", "inaktiv", "nicht aktiv", "entwurf",
    "gelöscht", "geloescht", "archiviert", "deaktiviert", "gesperrt", "versteckt", "ausgeblendet", "nicht sichtbar",
    "unveröffentlicht", "auslaufartikel", "inactif", "brouillon", "supprimé", "archivé", "désactivé", "masqué",
    "inactief", "concept", "verwijderd", "gearchiveerd", "verborgen", "inactivo", "borrador", "eliminado", "archivado",
    "oculto", "descatalogado", "inattivo", "bozza", "eliminato", "archiviato", "nascosto", "inativo",
})  # fmt: skip
_SHOWS: Final = frozenset({
    "active", "publish", "published", "enabled", "live", "visible", "online", "public", "catalog", "search", "true",
    "catalog, search", "approved", "aktiv", "sichtbar", "veröffentlicht", "freigegeben", "actif", "publié", "actief",
    "zichtbaar", "gepubliceerd", "activo", "publicado", "attivo", "pubblicato", "visibile", "ativo",
})  # fmt: skip
_BY_MAGENTO: Final[Mapping[str, Mapping[Any, bool]]] = {
    "status": {1: True, 2: False}, "visibility": {1: False, 2: True, 3: True, 4: True},
    "productonline": {1: True, 2: False},
}  # fmt: skip
"""What Magento's numbers say: whether it is shown."""
_OF_MAGENTO: Final = frozenset({"extension_attributes", "attribute_set_id", "type_id", "product_online"})
_TEXT_CHARS_MAX: Final = 64


class Sign(NamedTuple):
    """What a field says of whether an item is shown."""

    field: str
    shown: bool | None
    """None: it cannot be decided."""


def signs_of(fields: Mapping[str, Any], letters: Mapping[str, str]) -> Iterator[Sign]:
    """What the fields of an item say of whether it is shown. `letters` has small letters and digits of their names.

    >>> [sign.shown for sign in signs_of({"active": "0", "status": "Draft", "hidden": False}, {})]
    [False, False, True]
    >>> [sign.shown for sign in signs_of({"status": 2}, {})], [
    ...     sign.shown for sign in signs_of({"status": 2, "type_id": "simple"}, {})]
    ([None], [False])
    """
    magento = not _OF_MAGENTO.isdisjoint(fields)
    for name, value in fields.items():
        plain = letters.get(name, name)
        if plain in HIDING and value is not None and value != "":
            if magento and plain in _BY_MAGENTO and (number := _whole(value)) is not None:
                yield Sign(name, _BY_MAGENTO[plain].get(number))
            else:
                yield Sign(name, _shown(plain, value))


def stock_said_beside(fields: Mapping[str, Any]) -> bool | None:
    """Whether it can be bought as Magento says it, `extension_attributes.stock_item.is_in_stock`; None where it does
    not."""
    inner = fields.get("extension_attributes")
    stock = inner.get("stock_item") if isinstance(inner, dict) else None
    said = stock.get("is_in_stock") if isinstance(stock, dict) else None
    return None if said is None else _truth(said)


def _shown(plain: str, value: object) -> bool | None:
    if plain in _IN_WORDS:
        if isinstance(value, bool):
            return value
        word = _word(value)
        return False if word in _HIDES else True if word in _SHOWS else None
    said = _truth(value)
    return said if said is None or plain in _SHOWN_IF_TRUE else not said


def _truth(value: object) -> bool | None:
    if isinstance(value, bool | int | float):
        return True if value == 1 else False if value in (0, -1) else None
    word = _word(value)
    return True if word in _TRUE else False if word in _FALSE else None


def _word(value: object) -> str:
    return value.strip().casefold() if isinstance(value, str) and len(value) <= _TEXT_CHARS_MAX else ""


def _whole(value: object) -> int | None:
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) == 1 else None
