"""Which traders there are: each market's main account with its current model, and the challengers beside it."""

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from msgspec.structs import replace

from bot.errors import HourhandError, ModelError, UsageError
from bot.model import Model, model_folder, named_model, read_pointer, registry, trained_timeframe
from bot.settings import AccountSettings, Settings
from bot.trading import Trader, terms_of


class Reload(NamedTuple):
    """The traders of all markets after a change; `rejected` has a sentence for each account that keeps its old model,
    or stays away, because its new one cannot be used.
    """

    traders: list[Trader]
    rejected: list[str]


def load_traders(settings: Settings) -> list[Trader]:
    """The traders of each market: its main account, then `[[challengers]]` that join it, then its registry's shadows.

    A shadow's account is called `shadow-`, the main account's name unless that is `main`, and the model's id. All
    accounts of a market have the main account's terms but for the name.

    Raises ModelError where a model cannot be used, UsageError where two accounts have one name or a model is of
    another timeframe.
    """
    models: dict[str, Model] = {}
    traders = [trader for market in settings.each_market() for trader in _market_traders(market, models, _refuse)]
    _require_distinct(traders)
    return traders


def configured_accounts(settings: Settings) -> list[str]:
    """The names of the accounts of the settings, the main one first, then the challengers and shadows of each market.
    No model is loaded; a registry that cannot be read has no shadows.
    """
    names: list[str] = []
    for market in settings.each_market():
        names += [market.account.name, *(entry.name for entry in market.challengers)]
        with suppress(ModelError):
            names += [name for name, _, _ in _challengers(market)]
    return list(dict.fromkeys(names))


def require_timeframe(model: Model, settings: Settings) -> None:
    """Raises UsageError where the model was trained on bars of another length; `policy.any_timeframe` allows any."""
    trained, wanted = trained_timeframe(model), settings.exchange.timeframe
    if trained not in (None, wanted) and not settings.policy.any_timeframe:
        raise UsageError(
            f"model {model.model_id} was trained on bars of {trained}, and exchange.timeframe is {wanted}: use a model "
            "of that timeframe, or set policy.any_timeframe = true"
        )


class TraderWatcher:
    """The traders of the settings, loaded again when a pointer has changed (the registry's or a challenger's), and with
    the settings' markets and challengers read again when asked to.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings] | None = None) -> None:
        """`read` returns the settings as they are now. Raises what `load_traders` does."""
        self.settings, self.pointer = settings, Path(settings.policy.model)
        self._read, self._reread = read, False
        self._signatures: list[object] = self._current_signatures()
        self.traders = load_traders(settings)

    def settings_of(self, trader: Trader) -> Settings:
        """The settings of the trader's market as if it were the only one."""
        return next(market for market in self.settings.each_market() if market.market == trader.terms.market)

    def reload(self) -> Reload | None:
        """The traders of all markets, where a pointer has changed since the last call or `recheck` was called; else
        None. What cannot be loaded stops nothing else, and is not tried again until a pointer changes.
        """
        rejected: list[str] = []
        if self._reread:
            self._reread = False
            self._read_markets(rejected)
        signatures = self._current_signatures()
        if signatures == self._signatures:
            return None
        self._signatures = signatures
        before = {trader.terms.name: trader for trader in self.traders}
        models: dict[str, Model] = {}
        kept: list[Trader] = []
        loaded: list[Trader] = []

        def keep(name: str, error: HourhandError) -> None:
            rejected.append(str(error))
            kept.extend([before[name]] if name in before else [])

        for market in self.settings.each_market():
            try:
                loaded += _market_traders(market, models, keep)
            except (ModelError, UsageError) as error:
                rejected.append(str(error))
                kept += [trader for trader in self.traders if trader.terms.market == market.market]
        try:
            _require_distinct(loaded)
        except UsageError as error:
            return Reload(self.traders, [*rejected, str(error)])
        found = {trader.terms.name: trader for trader in [*loaded, *kept]}
        self.traders = list((found | {trader.terms.name: trader for trader in loaded}).values())
        return Reload(self.traders, list(dict.fromkeys(rejected)))

    def _read_markets(self, rejected: list[str]) -> None:
        if self._read is None:
            return
        try:
            now = self._read()
        except UsageError as error:
            rejected.append(str(error))
        else:
            self.settings = replace(self.settings, markets=now.markets, challengers=now.challengers)

    def recheck(self) -> None:
        """Make the next `reload` read the settings and load, changed or not. Safe in a signal handler."""
        self._signatures, self._reread = [], True

    def pointed_model(self) -> str:
        """The id that the pointer names, or its path where it cannot be read."""
        try:
            return read_pointer(self.pointer).model_id
        except ModelError:
            return str(self.pointer)

    def _current_signatures(self) -> list[object]:
        models = [self.settings.policy.model, *(market.model for market in self.settings.markets if market.model)]
        models += [challenger.model for challenger in self.settings.challengers]
        return [registry.signature(Path(model)) for model in dict.fromkeys(models)]


def _refuse(_name: str, error: HourhandError) -> NoReturn:
    raise error


def _market_traders(
    settings: Settings, models: dict[str, Model], failed: Callable[[str, HourhandError], object]
) -> list[Trader]:
    """The traders of the market that the settings describe. `models` are those that are loaded already, by how the
    settings name them; `failed(name, error)` is called for a challenger whose model cannot be used.

    Raises ModelError or UsageError where the main account's model cannot be used.
    """
    main = Trader(
        terms_of(settings),
        _model(settings, settings.policy.model, models),
        settings.policy.mode,
        settings.account.initial_share,
    )
    found = [main]
    for name, model_name, mode in _challengers(settings):
        try:
            model = _model(settings, model_name, models)
        except ModelError as error:
            failed(name, ModelError(f"challenger {name}: {str(error).removeprefix('policy.model: ')}"))
        except UsageError as error:
            failed(name, error)
        else:
            found.append(dataclasses.replace(main, terms=main.terms._replace(name=name), model=model, mode=mode))
    return found


def _model(settings: Settings, name: str, models: dict[str, Model]) -> Model:
    if name not in models:
        models[name] = named_model(name)
    require_timeframe(models[name], settings)
    return models[name]


def _challengers(settings: Settings) -> list[tuple[str, str, str]]:
    """Account, name of the model, and mode of each challenger and shadow."""
    mode = settings.policy.mode
    found: list[tuple[str, str, str]] = [
        (entry.name, entry.model, entry.mode or mode) for entry in settings.challengers
    ]
    pointer = Path(settings.policy.model)
    if registry.is_path(settings.policy.model) and not pointer.is_dir():
        account = settings.account.name
        owner = "" if account == AccountSettings().name else f"{account}-"
        shadows = read_pointer(pointer).shadows
        found += [(f"shadow-{owner}{model_id}", str(model_folder(pointer, model_id)), mode) for model_id in shadows]
    return found


def _require_distinct(traders: list[Trader]) -> None:
    names = [trader.terms.name for trader in traders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"settings: two accounts are called {twice[0]}: rename the challenger, or account.name")
