"""Which traders there are: the main account with the current model, and the challengers beside it."""

from pathlib import Path
from typing import NamedTuple

from bot.errors import ModelError, UsageError
from bot.model import Model, model_folder, named_model, read_pointer, registry, trained_timeframe
from bot.settings import AccountSettings, Settings
from bot.trading import Trader, terms_of


class Reload(NamedTuple):
    """The traders after a change of pointers; `rejected` has a sentence for each challenger that keeps its old model,
    or stays away, because its new one cannot be used.
    """

    traders: list[Trader]
    rejected: list[str]


def load_traders(settings: Settings) -> list[Trader]:
    """The traders of the settings: the main account, then `[[challengers]]`, then the registry's shadows.

    A shadow's account is called `shadow-`, the main account's name unless that is `main`, and the model's id. All
    accounts have the main account's terms but for the name.

    Raises ModelError where a model cannot be used, UsageError where two accounts have one name or a model is of
    another timeframe.
    """
    traders = [_main_trader(settings)]
    for name, model, mode in _challengers(settings):
        traders.append(_challenger(settings, name, model, mode))
    _require_distinct(traders)
    return traders


def require_timeframe(model: Model, settings: Settings) -> None:
    """Raises UsageError where the model was trained on bars of another length; `policy.any_timeframe` allows any."""
    trained, wanted = trained_timeframe(model), settings.exchange.timeframe
    if trained not in (None, wanted) and not settings.policy.any_timeframe:
        raise UsageError(
            f"model {model.model_id} was trained on bars of {trained}, and exchange.timeframe is {wanted}: use a model "
            "of that timeframe, or set policy.any_timeframe = true"
        )


class TraderWatcher:
    """The traders of the settings, loaded again when a pointer has changed: the registry's or a challenger's."""

    def __init__(self, settings: Settings) -> None:
        """Raises what `load_traders` does."""
        self.settings, self.pointer = settings, Path(settings.policy.model)
        self._signatures: list[object] = self._current_signatures()
        self.traders = load_traders(settings)

    def reload(self) -> Reload | None:
        """The traders, where a pointer has changed since the last call; else None.

        Raises ModelError or UsageError where the main model cannot be used; it is not tried again until a pointer
        changes. A challenger that cannot be loaded does not stop the others.
        """
        signatures = self._current_signatures()
        if signatures == self._signatures:
            return None
        self._signatures = signatures
        before = {trader.terms.name: trader for trader in self.traders}
        traders, rejected = [_main_trader(self.settings)], []
        for name, model, mode in _challengers(self.settings):
            try:
                traders.append(_challenger(self.settings, name, model, mode))
            except (ModelError, UsageError) as error:
                rejected.append(str(error))
                traders += [before[name]] if name in before else []
        _require_distinct(traders)
        self.traders = traders
        return Reload(traders, rejected)

    def recheck(self) -> None:
        """Make the next `reload` load, changed or not. Safe in a signal handler."""
        self._signatures = []

    def pointed_model(self) -> str:
        """The id that the pointer names, or its path where it cannot be read."""
        try:
            return read_pointer(self.pointer).model_id
        except ModelError:
            return str(self.pointer)

    def _current_signatures(self) -> list[object]:
        paths = [self.pointer, *(Path(challenger.model) for challenger in self.settings.challengers)]
        return [registry.signature(path) for path in paths]


def _main_trader(settings: Settings) -> Trader:
    model = named_model(settings.policy.model)
    require_timeframe(model, settings)
    return Trader(terms_of(settings), model, settings.policy.mode)


def _challengers(settings: Settings) -> list[tuple[str, str, str]]:
    """Account, name of the model, and mode of each challenger and shadow."""
    mode = settings.policy.mode
    found: list[tuple[str, str, str]] = [
        (entry.name, entry.model, entry.mode or mode) for entry in settings.challengers
    ]
    pointer = Path(settings.policy.model)
    if not registry.is_rule(settings.policy.model) and not pointer.is_dir():
        account = settings.account.name
        owner = "" if account == AccountSettings().name else f"{account}-"
        shadows = read_pointer(pointer).shadows
        found += [(f"shadow-{owner}{model_id}", str(model_folder(pointer, model_id)), mode) for model_id in shadows]
    return found


def _challenger(settings: Settings, name: str, model_name: str, mode: str) -> Trader:
    try:
        model = named_model(model_name)
    except ModelError as error:
        raise ModelError(f"challenger {name}: {str(error).removeprefix('policy.model: ')}") from error
    require_timeframe(model, settings)
    return Trader(terms_of(settings)._replace(name=name), model, mode)


def _require_distinct(traders: list[Trader]) -> None:
    names = [trader.terms.name for trader in traders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"settings: two accounts are called {twice[0]}: rename the challenger, or account.name")
