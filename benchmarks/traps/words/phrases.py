"""Phrases that change what is asked: regular expressions with what takes their place, and endings."""

from __future__ import annotations

from benchmarks.traps.words import word_set

_SUBJECT = r"(i|you|we|they|he|she|it|this|that|my \w+|the \w+)"

_NO_AUXILIARY = r"(?<!do )(?<!did )(?<!can )(?<!will )(?<!should )(?<!would )(?<!could )"

NEGATED = (
    (rf"\bwhy (is|are|was|were|does|do|did|has|have|would|should) {_SUBJECT}(?! not)\b", r"why \1n't \2"),
    (rf"\bwhy can {_SUBJECT}(?! not)\b", r"why can't \1"),
    (rf"\bwhy will {_SUBJECT}(?! not)\b", r"why won't \1"),
    (
        rf"\b(?:what|which \w+) (is|are|was|were|does|do|did|should|would) {_SUBJECT}(?! not)\b(?=.* \w+)",
        r"what \1n't \2",
    ),
    (rf"\b(when|where|who|which \w+) (should|can|could|must) {_SUBJECT} (?!not|i)", r"\1 \2 \3 not "),
    (rf"(?<=\w )(should|must) {_SUBJECT} (?!not|i\b)(?=[a-z])", r"\1 \2 not "),
    (rf"\bif {_SUBJECT} (can|could|should|would|does|do|did|is|are|was|were|have|has)\b(?! ?n[o']t)", r"if \1 \2 not"),
    (
        r"\bif (i|you|we|they) (?!(?:am|are|have|had|was|were|can|could|should|would|do|did|don't|never"
        r"|not|will|had|'|get)\b)(?=[a-z])",
        r"if \1 don't ",
    ),
    (
        r"\b(that|which|who) (contain|have|match|end|start|begin|include|use|support|exist|need|work|belong)\b",
        r"\1 do not \2",
    ),
    (r"\b(that|which|who) (?:contains|has) ", r"\1 does not have "),
    (
        r"\b(that|which|who) (is|are|was|were|can|could|should|will|has|have)\b"
        r"(?! not| no| never| been \w+ed| i\b| you\b| we\b)",
        r"\1 \2 not",
    ),
    (
        r"(?<!not )\b(containing|matching|ending (?:in|with)|starting with|beginning with|owned by|belonging to) ",
        r"not \1 ",
    ),
    (r"\b(files|folders|directories|branches|containers|tables|users) (named|called) ", r"\1 not \2 "),
    (
        _NO_AUXILIARY + r"\b(i|we|you|they) (want|need|like|have) to\b",
        r"\1 don't \2 to",
    ),
    (
        _NO_AUXILIARY + r"\b(i|we|they) (can|could|should|will|would|do|did)(?! ?not|n't|'t)\b(?= [a-z])",
        r"\1 \2 not",
    ),
    (r"\b(it|my \w+|this|the \w+) (works|starts|runs|opens|loads|compiles|matters|exists)\b", r"\1 no longer \2"),
    (
        r"\b(is|are|was|were) (working|running|showing|allowed|available|enabled|supported|accepted|installed|included"
        r"|required|used|empty|open|connected|defined|possible|necessary|valid|safe)\b",
        r"\1 not \2",
    ),
    (r"\bbeen (?=\w+ed\b)", r"not been "),
    (r"\bhave a\b", r"have no"),
    (r"\bthere (is|are) (?!no\b|not\b)(?:an? |any )?", r"there \1 no "),
    (r"^(make sure|ensure)(?: that)? (\w+) (is|are|has|have) ", r"\1 \2 \3 not "),
)
"""Where a negation may go in and changes the answer."""

UNNEGATED = (
    (r"\bnot yet\b", r"already"),
    (
        r"(?<=\w )(is|are|was|were|does|do|did|has|have|had|should|would|could|must)(?:n['’]?t\b| not\b)(?! only| yet)",
        r"\1",
    ),
    (r"(?<=\w )(?:can['’]?t|cannot|can not)\b", r"can"),
    (r"(?<=\w )(?:won['’]?t|will not)\b", r"will"),
    (r"(?<=\w )\bi['’]m not\b", r"I'm"),
    (r"\bnot been\b", r"been"),
    (
        r"\bnot (?=(?:containing|matching|ending|starting|named|owned|belonging|working|showing|allowed"
        r"|supported|in the|able to))",
        r"",
    ),
    (r"\bnever\b", r"always"),
    (r"\bno longer\b", r"still"),
    (r"\bhave no\b", r"have a"),
    (r"\b(?:unable) to\b", r"able to"),
    (r"\bwith no (?=\w)", r"with a "),
)
"""Where a negation may go: never the one that a question opens with."""

_BEFORE_WITH = """
    start starts starting end ends ending help wrong problem issue deal begin begins beginning do match
    filled happening on problems trouble going difference up happened done assist helping issues me
    associated along compared
"""
_OF_NO_VERB = "".join(rf"(?<!\b{word} )" for word in _BEFORE_WITH.split())
"""Not the "with" of "start with"."""

WITH_AND_WITHOUT = (
    (r"\bwithout (?=(?:an?|the|my|any) )", r"with "),
    (r"\bwithout (\w+ing)\b", r"by \1"),
    (
        _OF_NO_VERB + r"\bwith (?=(?:an?|the|my|any|no|his|two|three) )(?!no )(?![^?.!]*\b(?:replac|compar))",
        r"without ",
    ),
    (r"(?<!of )\bby (using|restarting|deleting|changing|adding|editing|removing)\b", r"without \1"),
    (r"(?<=\w )(?<!of )\busing (?=[a-z]+\W*$)", r"without using "),
)

AVOID = (
    "How do I avoid {acting}?",
    "How can I avoid {acting}?",
    "How to avoid {acting}?",
    "How do I not {act}?",
    "How do I stop {acting}?",
    "How can I prevent others from {acting}?",
    "How do I keep from {acting}?",
    "What should I do so that I don't {act}?",
    "How can I make sure I never {act}?",
)
AVOID_ORDER = (
    "Don't {act}",
    "Do not {act}",
    "Never {act}",
    "Please don't {act}",
    "Avoid {acting}",
    "You must not {act}",
)

TENSES = (
    (rf"\bwill {_SUBJECT} (?=[a-z])(?!.*\bbe\b|have )", r"did \1 "),
    (rf"(?<!ago )\bdid {_SUBJECT} (?=[a-z]+)", r"will \1 "),
    (r"\bwill (i|he|she|it|this|that|my \w+|the \w+) be\b", r"was \1"),
    (r"\bis (he|she|it|this|that|my \w+|the \w+) going to\b", r"was \1 going to"),
    (rf"(?<!it )\bwas {_SUBJECT} (?=\w+ed\b)", r"will \1 be "),
    (r"\bi will be\b", r"I was"),
    (r"\b(?:i've|i have) (?:just )?been\b", r"I will be"),
    (r"\bwho is\b(?! there| the best)", r"who was"),
    (r"\bwho was\b", r"who will be"),
    (r"\bam i being\b", r"will I be"),
    (r"\bcurrently\b", r"formerly"),
    (r"(?<!it )\bwas there\b", r"will there be"),
    (r"\bwill there be\b", r"was there"),
    (r"\bwill happen\b", r"happened"),
    (r"\bwhat happened\b", r"what will happen"),
    (r"\bhow old is\b", r"how old was"),
    (r"\bused to\b(?= [a-z]+)(?<!be used to)", r"are going to"),
)
"""Another time, where the answer is another one."""

QUESTION_WORDS = (
    (r"\bwhere (?=(?:is|are|was|were|can|do|does|did|should|will)\b)", r"when "),
    (
        r"\bwhen (?=(?:is|are|was|were|can|does|did|should|will) (?:i|you|we|they|my|the|a|an|it|this)\b)(?<!\w when )",
        r"where ",
    ),
    (r"\bwhen (?=(?:did|was|will)\b)(?<!\w when )", r"why "),
    (r"\bwhy (?=(?:did|do|does|is|are|was|were|has|have|would|should|can)\b)", r"how often "),
    (r"\bwhy (?=(?:did|was|were|is|are)\b)", r"since when "),
    (r"\bwho (?=(?:is|was|are|were)\b)(?! there)", r"where "),
    (r"\bhow long (?=(?:is|are|was|does|do|will|should|can|has|have|until|ago)\b)", r"how often "),
    (r"\bhow often\b", r"how long"),
    (r"\bhow much (?=(?:does|do|is|are|did|will|would)\b)", r"how soon "),
    (r"\bwhat time\b", r"on what day"),
    (r"\bhow far\b", r"how high"),
    (r"\bhow many\b", r"which"),
    (r"\bhow tall\b", r"how old"),
    (r"\bhow old\b", r"how tall"),
    (r"\bhow (?=(?:does|did) (?:the|a|an|my|it|this)\b)", r"why "),
    (r"\bhow (?=(?:is|are|was|were) (?:the|a|an|my|it|this|[a-z]+s)\b)", r"why "),
    (r"\bhow do (?=(?:the|[a-z]+s)\b)", r"why do "),
)
"""Another question about the same."""

ASPECTS = (
    "Why should I {act}?",
    "When should I {act}?",
    "Is it safe to {act}?",
    "How long does it take to {act}?",
    "How much does it cost to {act}?",
    "Who is allowed to {act}?",
    "Where can I find someone to {act}?",
    "What happens if I {act}?",
    "What are the risks of {acting}?",
    "Do I have to {act}?",
    "Is it worth {acting}?",
    "What are the alternatives to {acting}?",
    "What can go wrong when {acting}?",
    "How often should I {act}?",
    "What do I need before I {act}?",
    "Is it legal to {act}?",
    "Why would anyone {act}?",
    "Why is it so hard to {act}?",
    "How do I know whether I need to {act}?",
    "How do I undo {acting}?",
    "What is the point of {acting}?",
    "How do I test {acting}?",
    "Why can't I {act}?",
    "I already tried to {act}, but it failed. Why?",
    "Which permissions do I need to {act}?",
    "What does it mean to {act}?",
    "How do I check whether I managed to {act}?",
)
ASPECTS_OF_A_THING = (
    "Who invented {thing}?",
    "What {are} {thing} used for?",
    "How do I use {thing}?",
    "Why {are} {thing} important?",
    "What are the disadvantages of {thing}?",
    "When {are} {thing} needed?",
    "Where can I get {thing}?",
    "What {are} {thing} made of?",
    "How do I learn about {thing}?",
    "What are the alternatives to {thing}?",
    "What's the history of {thing}?",
    "How much {are} {thing}?",
    "Is there anything better than {thing}?",
    "What {are} {thing} not good for?",
    "Give me an example of {thing}.",
    "How {are} {thing} spelled?",
)

# ── form and language of the answer ─────────────────────────────────────────────────────────────────────────

FORMS: tuple[str, ...] = (
    " in one sentence",
    " in under 50 words",
    " Explain it to a five-year-old.",
    " Answer with yes or no only.",
    " Answer in three bullet points.",
    " as a table",
    " as a haiku",
    " as a numbered list",
    " Explain it like I'm an expert.",
    " Give me only the short answer.",
    " Write at least 500 words.",
    " as a formal email",
    " Explain in detail.",
    " Reply as a pirate.",
    " Answer in one word.",
    " as a diagram",
    " with a worked example",
)
FORMS_TECHNICAL: tuple[str, ...] = (
    " in one line",
    " as JSON",
    " as a one-liner",
    " in a single command",
    " as a table",
    " as a shell script",
    " Explain every step in detail.",
    " Explain it to a beginner.",
    " Answer with the command only.",
    " as a function",
    " as CSV",
    " Reply in YAML.",
    " as a diagram",
    " in pseudocode",
    " as a regular expression",
    " in under 10 lines",
    " with comments on every line",
    " Give the code only, no explanation.",
    " as a unit test",
    " Explain it in one sentence.",
    " as a bullet list",
    " in recursive form",
)
FORMS_KNOWN = (
    "in one line",
    "as json",
    "as a one-liner",
    "as a table",
    "in one sentence",
    "as csv",
    "as a bullet list",
    "as a numbered list",
    "in a table",
    "in a single line",
    "in json",
    "in bullet points",
    "as a list",
    "one per line",
    "in json format",
    "in csv format",
    "in a single command",
    "in one command",
    "step by step",
    "in plain english",
    "in simple terms",
    "in long format",
    "in detail",
    "briefly",
)
OTHER_FORMS = (
    " as XML",
    " as a diagram",
    " as a table with two columns",
    " in exactly three sentences",
    " as YAML",
    " as a comma-separated list",
    " in under 20 words",
    " as an HTML page",
    " in pseudocode",
    " as a long essay",
)
IN_A_LANGUAGE = (
    " Answer in {}.",
    " Reply in {}.",
    " Please respond in {}.",
    " in {} please",
    " Explain in {}.",
    " (answer in {})",
    " I only read {}.",
)
ANSWER_LANGUAGES = (
    "French",
    "German",
    "Spanish",
    "Italian",
    "Portuguese",
    "Japanese",
    "Chinese",
    "Hindi",
    "Polish",
    "Dutch",
)

# ── conditions ──────────────────────────────────────────────────────────────────────────────────────────────

CONDITIONS_TECHNICAL = (
    " on Windows 7",
    " without root access",
    " without using any library",
    " over SSH",
    " in a Docker container",
    " from a cron job",
    " without a restart",
    " without any downtime",
    " only if it does not exist yet",
    " when the name contains spaces",
    " on a read-only disk",
    " when there are millions of them",
    " without using sudo",
    " in a single transaction",
    " without an internet connection",
    " in a CI pipeline",
    " behind a corporate proxy",
    " without changing the modification time",
    " unless it is already done",
    " in constant memory",
    " on an old Mac",
    " for all users",
    " while the server is running",
    " in parallel",
    " with a progress bar",
    " without writing to disk",
    " except on Fridays",
    " if the disk is full",
    " only if the last command failed",
    " and undo it again afterwards",
    " without a mouse",
    " ignoring case",
    " and email me the result",
    " with the oldest supported version",
)
CONDITIONS = (
    " for free",
    " without a credit card",
    " without calling anyone",
    " on a Sunday",
    " for someone else",
    " from abroad",
    " on my phone only",
    " without an account",
    " for a business",
    " if I am under 18",
    " on a tight budget",
    " while I am travelling",
    " without an internet connection",
    " at night",
    " if I am not a citizen",
    " in less than an hour",
    " if my phone was stolen",
    " for a second time this month",
    " without telling anyone",
    " in an emergency",
    " in person",
    " by post",
)
QUALITIES = (
    "empty",
    "hidden",
    "executable",
    "compressed",
    "encrypted",
    "duplicate",
    "unused",
    "outdated",
    "corrupted",
    "temporary",
    "shared",
    "deleted",
    "old",
    "large",
)
QUALIFIABLE = (
    "files",
    "folders",
    "directories",
    "branches",
    "containers",
    "images",
    "rows",
    "records",
    "tables",
    "columns",
    "users",
    "messages",
    "emails",
    "accounts",
    "subscriptions",
    "lines",
    "processes",
    "tags",
    "commits",
    "pods",
    "packages",
    "entries",
    "photos",
    "contacts",
    "keys",
    "items",
    "objects",
    "volumes",
    "symlinks",
)
ONLY_SOME = (
    "the first ten",
    "the last five",
    "only three of the",
    "the five newest",
    "the ten largest",
    "a random sample of the",
)

TECHNICAL_WORDS = dict.fromkeys(
    word_set("""
    file files folder folders directory directories branch commit commits repository repo table column row rows database
    query container image server script function class variable array string list command terminal shell regex regular
    expression json code program process package library api log logs config port ssh pointer loop method module thread
    compile compiler exception stack app application deploy deployment symlink archive user users permissions
    """)
)
"""Words that tell that a question is about computers."""
