"""What an operator can mend: said in one sentence, without a stack."""

from typing import ClassVar


class MistakeError(RuntimeError):
    """Its text says what is wrong and, where that is not plain, what to do."""

    exit_code: ClassVar[int] = 1


class CannotTellError(MistakeError):
    """Nobody could be asked: neither "all is well" nor "something needs a human", which is 1."""

    exit_code = 2
