"""Who trades: the main account with the current model, and the challengers beside it."""

from pathlib import Path

from bot.checkpoint import load
from bot.errors import ModelError
from bot.registry import folder_of, read_pointer, resolve
from bot.settings import AccountSettings, Settings
from bot.trader import Trader


def crew(settings: Settings) -> list[Trader]:
    """The traders of the settings: first the main account, then `[[challengers]]`, then the registry's shadows, whose
    accounts are called `shadow-`, the main account's name unless that is `main`, and the model's id. All are on the
    main account's terms but for the name.

    Raises ModelError where a model cannot be used.
    """
    pointer = Path(settings.policy.model)
    terms, mode = settings.terms, settings.policy.mode
    traders = [Trader(terms, load(resolve(pointer)), mode)]
    for challenger in settings.challengers:
        model = load(resolve(Path(challenger.model)))
        traders.append(Trader(terms._replace(name=challenger.name), model, challenger.mode or mode))
    if not pointer.is_dir():
        for model_id in read_pointer(pointer).shadows:
            model = load(folder_of(pointer, model_id))
            owner = "" if terms.name == AccountSettings().name else f"{terms.name}-"
            traders.append(Trader(terms._replace(name=f"shadow-{owner}{model_id}"), model, mode))
    names = [trader.terms.name for trader in traders]
    if len(set(names)) < len(names):
        raise ModelError(f"settings: two accounts have one name: {', '.join(names)}")
    return traders
