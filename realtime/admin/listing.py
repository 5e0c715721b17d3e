"""Lists of tables with millions of rows: nothing is counted or sorted past a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.text import capfirst

if TYPE_CHECKING:
    # Generic for the type checker only.
    ModelAdmin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    ModelAdmin = admin.ModelAdmin
    _Paginator = Paginator

#: How many rows a list reaches back; older ones are found by a filter or a search.
REACH = 5_000
#: How many rows one action may be used on; Django refuses forms with more than 1,000 fields.
ACTION_LIMIT = 500


def along(rows: QuerySet[Any], column: str, value: Any, *then: str) -> QuerySet[Any]:
    """Return the rows with this value, in the order of the index on ``column`` and the columns ``then``.

    ``column`` has the sign of its direction. The value is asked for as a range: of an equality PostgreSQL
    knows that it needs no order, and may rather look for it along an index of ``then`` alone, which reads
    the whole table when the rows that match are at the other end.
    """
    name = column.removeprefix("-")
    return rows.filter(**{f"{name}__gte": value, f"{name}__lte": value}).order_by(column, *then)


class ChoiceFilter(admin.ChoicesFieldListFilter):
    """A filter by one choice, along the index that begins with its column."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with the choice; :class:`BoundedChangeList` orders them."""
        values = cast("list[str]", self.used_parameters.get(f"{self.field_path}__exact"))
        return along(queryset, self.field_path, values[-1]) if values else queryset


class BoundedPaginator(_Paginator):
    """Counts up to ``REACH`` rows, along the index that also serves the pages."""

    @cached_property
    def _counted(self) -> int:
        # Sliced, the queryset keeps its order: without it the database might prefer to read the table.
        rows = cast("QuerySet[Any]", self.object_list)
        return rows[: REACH + 1].count()

    @property
    def more(self) -> bool:
        """Whether there are rows behind the last page."""
        return self._counted > REACH

    @cached_property
    def count(self) -> int:
        """The number of rows that the pages show."""
        return min(self._counted, REACH)


class BoundedChangeList(ChangeList):
    """A list in the order of an index, or in its reverse, and in no other."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Most come to look: that they are to select something is not what they are told.
        self.title = str(capfirst(self.opts.verbose_name_plural))

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Return the admin's ordering; reversed when the first of its columns is asked for upwards.

        Any other ``?o=`` would sort the whole table. The column of a :class:`ChoiceFilter` in use leads.
        """
        ordering = [str(name) for name in self.model_admin.get_ordering(request)]
        columns = {
            str(number): f"-{self.get_ordering_field(name)}" for number, name in enumerate(self.list_display)
        }
        upwards = columns.get(self.params.get(ORDER_VAR, "")) == ordering[0]
        leading = cast("BoundedAdmin", self.model_admin).list_choice
        if f"{leading.removeprefix('-')}__exact" in self.params:
            ordering = [leading, *ordering]
        if not upwards:
            return ordering
        return [name.removeprefix("-") if name.startswith("-") else f"-{name}" for name in ordering]

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, without the large fields that the list does not show."""
        super().get_results(request)
        deferred = cast("BoundedAdmin", self.model_admin).list_defer
        self.result_list = self.result_list.defer(*deferred)
        if not self.query:
            # Beside the search box stands the number of matches only, which has a lower bound of its own.
            self.full_result_count = self.result_count


class BoundedAdmin(ModelAdmin):
    """An admin whose every page costs the same, however many rows there are.

    ``ordering`` must be that of an index, descending.
    """

    #: Fields that may be large and are no columns of the list.
    list_defer: ClassVar[tuple[str, ...]] = ()
    #: The column of the list's :class:`ChoiceFilter`, with its direction in the index before ``ordering``.
    list_choice: ClassVar[str] = ""
    #: What may stand in the address of the list; any other lookup could read the whole table, and would
    #: let staff guess the content of fields that they may not see.
    list_lookups: ClassVar[frozenset[str]] = frozenset()

    paginator = BoundedPaginator
    empty_value_display = "–"
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    #: For the template of the actions.
    action_limit = ACTION_LIMIT

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that keeps to an index."""
        return BoundedChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow what ``list_lookups`` names."""
        return lookup in self.list_lookups

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run an action, unless it is for more rows than one request can serve, or for none there are."""
        across = request.POST.get("select_across", "") not in ("", "0")
        if across and queryset[ACTION_LIMIT : ACTION_LIMIT + 1].exists():
            text = f"Nothing was done: choose at most {ACTION_LIMIT:,} at a time."
            self.message_user(request, text, messages.ERROR)
            return None
        try:
            return super().response_action(request, queryset, *args, **kwargs)
        except ValidationError:
            self.message_user(request, "Nothing was done: the selection is not valid.", messages.ERROR)
            return None


class ReadOnly(ModelAdmin):
    """What the app alone writes: staff look at it, whatever their permissions."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody writes it by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes it: what it tells of would still be there."""
        return False
