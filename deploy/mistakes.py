"""What an operator can mend: said in one sentence, without a stack."""


class MistakeError(RuntimeError):
    """Its text says what is wrong and, where that is not plain, what to do."""
