"""Words and phrases that ask for the same thing: the first of a line may be said as any of the others."""

VERBS = """
delete | remove | erase | get rid of
remove | delete | get rid of
show | display
locate | track down
fix | repair | resolve
enable | turn on | switch on | activate
disable | turn off | switch off | deactivate
turn on | switch on
turn off | switch off
increase | raise | bump up
reduce | decrease | bring down
begin | start | commence
finish | complete
stop | halt
terminate | kill | end
obtain | acquire | get hold of
purchase | buy
require | need
modify | alter | edit
alter | modify
rename | give another name to | change the name of
combine | join together | put together
concatenate | join together
choose | select | pick
pick | choose | select
verify | make sure of | confirm
retrieve | fetch | pull up
fetch | retrieve
utilize | make use of
execute | run
launch | start up
restart | reboot
explain | describe | clarify
construct | build
calculate | compute | work out | figure out
compute | calculate
figure out | work out | find out
determine | find out | work out
discover | find out
examine | inspect | look at
inspect | examine | look at
search for | look for
look up | search for
iterate over | loop over | loop through | go through
loop over | iterate over | loop through
loop through | iterate over | loop over
undo | reverse
revert | undo
discard | throw away | drop
overwrite | write over
ignore | disregard
exclude | leave out
extract | pull out | take out
retain | keep
preserve | keep
prevent | stop
avoid | steer clear of
attempt | try
contact | get in touch with | reach out to | reach
complain | file a complaint | make a complaint
assist | help
receive | get
permit | allow
allow | permit | let
forbid | prohibit
arrange | put in order
configure | set up
set up | configure
improve | enhance
speed up | accelerate
replace | substitute
insert | put in
append | add on
truncate | cut off | cut short
trim | cut
validate | check
generate | produce | create
produce | generate
create | make | set up
print out | print
log in | sign in | log on
log out | sign out | log off
sign in | log in
sign out | log out
sign up | register
withdraw | take out
dispute | challenge | contest
refund | give back
arrive | come | show up
notify | alert
translate | convert
reserve | book
schedule | set up
postpone | put off | delay
repair | fix
cook | prepare | make
consume | use up
lose weight | slim down | drop weight
fall asleep | get to sleep
quit smoking | stop smoking | give up smoking
occur | happen | take place
happen | occur
crash | go down
hang | freeze | get stuck
implement | write | code up
debug | troubleshoot
troubleshoot | debug
deploy | roll out | ship
clone | make a clone of | check out a copy of
revoke | take away
grant | give
expand | broaden
investigate | look into
monitor | keep an eye on | watch
recommend | suggest
suggest | recommend
mention | bring up
summarize | sum up | give a summary of
paraphrase | reword | put into other words
proofread | check for mistakes
memorize | learn by heart
gather | collect
collect | gather
distribute | hand out
list all | show all | enumerate all
list the | show the | enumerate the
sort the | order the | put in order the
book a | reserve a
transfer money | send money | move money
duplicate a | make a copy of a
duplicate the | make a copy of the
print the | output the
print all | output all
count the | tally the
cancel my | call off my
register for | sign up for
share my | give access to my
solve the | work out the
solve this | work out this
top up my | add money to my | put money on my
merge two | combine two | join two
get rid of | remove | delete
make sure | ensure | see to it
ensure | make sure
find out | determine
keep track of | track | follow
take care of | look after | handle
look after | take care of
deal with | handle | cope with
handle | deal with
come up with | think of
think of | come up with
carry out | perform | do
perform | carry out
go back to | return to
return to | go back to
switch to | change to | move to
run into | encounter
encounter | run into
get to know | learn about
learn about | read up on
depend on | rely on
rely on | depend on
get better at | improve at | become better at
become a | turn into a
pay for | cover the cost of
apply for | put in an application for
hand in | submit
submit | hand in | send in
fill in | fill out | complete
fill out | fill in
throw out | throw away
put together | assemble
assemble | put together
replace my | swap out my
cut costs | save money
save money | cut costs | spend less
talk to | speak to | speak with
speak to | talk to
tell me | let me know
let me know | tell me
give me | provide me with
help me | assist me
explain to me | make me understand
work properly | function correctly
get started with | start with | begin with
do away with | abolish
ask for | request
request a | ask for a
call a function | invoke a function
invoke | call
throw an exception | raise an exception
raise an exception | throw an exception
declare a | define a
define a | declare a
store the | save the
save the | store the
clean my | tidy my
wash my | clean my
"""

NOUNS = """
folder | directory
picture | photo | image
photograph | photo | picture
bug | defect
mistake | error | slip
issue | problem
problem | issue
guide | tutorial | walkthrough
tutorial | guide | walkthrough
vacation | holiday
movie | film
film | movie
car | automobile
automobile | car
phone number | telephone number
mobile phone | cell phone | mobile
cell phone | mobile phone | mobile
apartment | flat
drugstore | pharmacy
physician | doctor
lawyer | attorney
attorney | lawyer
supermarket | grocery store
elevator | lift
salary | pay | wage
company | firm | business
firm | company
employee | worker | staff member
customer | client
price | cost
bill | invoice
invoice | bill
meaning | definition | sense
definition | meaning
difference | distinction
technique | method
approach | method
sample | example
illness | disease | sickness
disease | illness
kid | child
infant | baby
baby | infant
pup | puppy
garbage | trash | rubbish
trash | garbage
sofa | couch
couch | sofa
sneaker | running shoe | trainer
recipe | cooking instruction
ingredient | component
temperature | temp
luggage | baggage
airplane | plane | aircraft
plane | airplane
flat tire | flat tyre | puncture
fuel | gas | petrol
petrol | gas | gasoline
gasoline | petrol
postcode | zip code | postal code
zip code | postcode | postal code
credit card | charge card
debit card | bank card
exchange rate | conversion rate | rate of exchange
passcode | pin code
code snippet | piece of code | bit of code
one-liner | single line of code
dictionary | dict
parameter | argument
argument | parameter
attribute | property
repository | repo
pull request | merge request
dependency | required package
environment variable | env variable | env var
config file | configuration file | settings file
configuration file | config file
current directory | current folder | working directory | present directory
subdirectory | subfolder
subfolder | subdirectory
filename | file name | name of the file
substring | part of a string
newline | line break
line break | newline
whitespace | blank space
blank line | empty line
empty line | blank line
element | item
item | element
key-value pair | entry
timestamp | time stamp
database | db
symbolic link | symlink | soft link
symlink | symbolic link
web page | webpage | page
website | web site | site
web site | website
e-mail | email
browser | web browser
app | application
application | app
operating system | os
computer | pc | machine
hard drive | hard disk
hard disk | hard drive
wifi | wi-fi | wireless
photo | picture
email address | e-mail address
pros | advantages | benefits
cons | disadvantages | drawbacks
advantage | benefit | upside
benefit | advantage
disadvantage | drawback | downside
drawback | disadvantage | downside
purpose | aim | goal
workaround | way around it
beginner | novice | newcomer
symptom | sign
side effect | unwanted effect
treatment | therapy
capital city | capital
population | number of inhabitants
inventor | creator
synonym | word with the same meaning
opening hours | business hours
birthday | date of birth
password | pass word
shopping list | list of groceries
calendar event | event in my calendar
schedule | timetable
traffic jam | congestion
weather forecast | forecast
restaurant | place to eat
neighbor | person next door
"""

PLAIN = """
quickly | fast | rapidly
rapidly | quickly
properly | correctly | the right way
correctly | properly
whole | entire | complete
entire | whole
frequently | often
often | frequently
currently | right now | at the moment | at present
at the moment | right now | currently
right now | at the moment
immediately | right away | at once | straight away
right away | immediately
instead of | rather than | in place of
rather than | instead of
because of | due to | on account of
due to | because of
although | even though
even though | although
so that | in order that
in order to | so as to | to
big | large
large | big
tiny | very small
huge | enormous | very large
easiest | simplest
simplest | easiest
several | a number of
lots of | many | plenty of
a lot of | many | plenty of
many | a lot of
approximately | about | roughly | around
roughly | approximately
roughly how | approximately how
nearly | almost
almost | nearly
wrong | incorrect
incorrect | wrong
broken | not working
faulty | defective
unable to | not able to
permitted | allowed
forbidden | not allowed
free of charge | for free | at no cost
for free | free of charge | at no cost
at no cost | for free
famous | well-known
well-known | famous
unusual | out of the ordinary
crucial | essential
necessary | needed | required
mandatory | compulsory | required
identical | exactly the same
for example | for instance | e.g.
for instance | for example
regarding | about | concerning
concerning | about | regarding
inside | within
underneath | below | beneath
beneath | below
throughout | all through
until | till
till | until
via | through | by way of
by means of | using
with the help of | using
starting with | beginning with
beginning with | starting with
starts with | begins with
begins with | starts with
ends with | finishes with
larger than | bigger than
bigger than | larger than
greater than | more than | over
more than | over
less than | under | below
fewer than | less than
at least | no less than | a minimum of
at most | no more than | a maximum of
every | each
each | every
everyone | everybody
everybody | everyone
someone | somebody
somebody | someone
anyone | anybody
recursively | including subdirectories | with all subdirectories
one by one | one at a time
one at a time | one by one
at the same time | simultaneously
simultaneously | at the same time
alphabetically | in alphabetical order
in alphabetical order | alphabetically
in reverse order | backwards
in descending order | from highest to lowest | descending
in ascending order | from lowest to highest | ascending
in place | in-place
from scratch | from the very beginning
from the command line | from the terminal | on the command line
on the command line | from the command line
in the terminal | on the command line
abroad | overseas | in a foreign country
overseas | abroad
maybe | perhaps
perhaps | maybe
again | once more
afterwards | after that
unsaved | not saved
unused | not used
unknown | not known
nonexistent | not existing
uncommitted | not yet committed
untracked | not tracked
mum | mom
tonight | this evening
nowadays | these days
these days | nowadays
difficult | hard
expensive | costly | pricey
cheap | inexpensive
cheapest | least expensive
most recent | newest | latest
newest | most recent | latest
latest | most recent | newest
biggest | largest
largest | biggest
quickest | fastest
fastest | quickest
the best | the ideal
sick | ill
ill | sick
smart | clever | intelligent
polite | courteous
angry | mad
not able to | unable to
why can't i | why am i unable to | why am i not able to | how come i can't
why can i not | why can't i | why am i unable to
why is my | how come my
how much does it cost to | what does it cost to | what is the price to
how much is | what is the price of | what does it cost to get
how long does it take to | how much time does it take to | how much time do i need to
how long will it take | how much time will it take
what time | at what time
what causes | what is the cause of | what leads to
what does it mean | what is meant
is there a way to | is it possible to | can i
what is the best way to | what's the best way to | what is the ideal way to
what's the best way to | what is the best way to | which way is best to
what are the benefits of | what are the advantages of | what is good about
do i need to | do i have to | must i | is it necessary to
do i have to | do i need to | am i required to
am i allowed to | am i permitted to | may i
should i | ought i to
what happens if | what will happen if | what would happen if
what happens when | what is going on when
how come | why
for what reason | why
as well as | and also
in addition to | besides
apart from | except for | other than
except for | apart from | other than
except | other than | apart from
regardless of | no matter
in case | if
unless | except if
provided that | as long as
as soon as | the moment
each time | every time | whenever
every time | each time | whenever
located in | situated in
on my phone | on my mobile
on my own | by myself
by myself | on my own
by hand | manually
manually | by hand
automatically | without manual work
side by side | next to each other
at home | in my house
next to | beside
beside | next to
on time | punctually
on purpose | deliberately | intentionally
by accident | accidentally | by mistake
accidentally | by accident | by mistake
by mistake | accidentally | in error
in total | altogether
in general | generally
in particular | especially
in detail | thoroughly
step by step | one step at a time
from now on | going forward
never | at no time
"""

CONTRACTIONS = """
do not | don't | dont
does not | doesn't | doesnt
did not | didn't | didnt
is not | isn't | isnt
are not | aren't | arent
was not | wasn't | wasnt
were not | weren't | werent
cannot | can't | cant | can not
can not | can't | cannot
has not | hasn't | hasnt
have not | haven't | havent
had not | hadn't | hadnt
will not | won't
would not | wouldn't | wouldnt
should not | shouldn't | shouldnt
could not | couldn't | couldnt
must not | mustn't
i am | i'm | im
i have | i've | ive
i would | i'd
it is | it's
that is | that's
what is | what's | whats
where is | where's | wheres
who is | who's
how is | how's
when is | when's
there is | there's
you are | you're
we are | we're
they are | they're
let us | let's
i will | i'll
"""

SPELLINGS = """
color | colour, colors | colours, colored | coloured, favorite | favourite, behavior | behaviour, center | centre
centered | centred, centering | centring, gray | grey, neighbor | neighbour, neighbors | neighbours, labor | labour
honor | honour, flavor | flavour, harbor | harbour, organize | organise, organized | organised,
organizing | organising
optimize | optimise, optimized | optimised, optimizing | optimising, minimize | minimise, minimizing | minimising
maximize | maximise, initialize | initialise, initialized | initialised, initializing | initialising
initialization | initialisation, serialize | serialise, serialized | serialised, serializing | serialising
serialization | serialisation, normalize | normalise, normalized | normalised, normalizing | normalising
normalization | normalisation, authorize | authorise, authorized | authorised, authorization | authorisation
recognize | recognise, recognized | recognised, customize | customise, customized | customised, summarize | summarise
visualize | visualise, visualization | visualisation, analyze | analyse, analyzing | analysing, realize | realise
capitalize | capitalise, capitalized | capitalised, synchronize | synchronise, tokenize | tokenise,
memorize | memorise
apologize | apologise, finalize | finalise, modernize | modernise, categorize | categorise, prioritize | prioritise
license | licence, canceled | cancelled, canceling | cancelling, traveling | travelling, traveler | traveller
labeled | labelled, labeling | labelling, modeling | modelling, catalog | catalogue, dialog | dialogue, tire | tyre
tires | tyres, check book | cheque book, jewelry | jewellery, aluminum | aluminium, liter | litre, liters | litres
meter | metre, meters | metres, kilometer | kilometre, kilometers | kilometres, centimeters | centimetres
theater | theatre, fulfill | fulfil, enroll | enrol, skillful | skilful, program | programme, pajamas | pyjamas
mom | mum, moms | mums, airplane | aeroplane, math | maths, donut | doughnut, yogurt | yoghurt, curb | kerb
learned | learnt, burned | burnt, spelled | spelt, toward | towards, afterward | afterwards
among | amongst, okay | ok, judgment | judgement, artifact | artefact, defense | defence, offense | offence
"""

ABBREVIATIONS = """
configuration | config, repository | repo, repositories | repos, database | db, databases | dbs, directory | dir
directories | dirs, environment | env, application | app, applications | apps, documentation | docs,
administrator | admin
authentication | auth, information | info, parameters | params, arguments | args, argument | arg
regular expression | regex | regexp, regular expressions | regexes, kubernetes | k8s, javascript | js, typescript | ts
postgresql | postgres, virtual machine | vm, virtual machines | vms, pull request | pr, pull requests | prs
operating system | os, user interface | ui, command line | cli, temporary | temp, maximum | max, minimum | min
specification | spec, developer | dev, development | dev, production | prod, implementation | impl, reference | ref
attribute | attr, integer | int, boolean | bool, dictionary | dict, library | lib, libraries | libs
package | pkg, packages | pkgs, telephone | phone, account | acct, transaction | txn, appointment | appt
password | pw | pwd, message | msg, messages | msgs, picture | pic, pictures | pics, photo | pic, advertisement | ad
vegetables | veggies, refrigerator | fridge, university | uni, mathematics | math,
because | b/c | cuz, please | pls | plz, you | u, your | ur, with | w/, without | w/o, people | ppl
want to | wanna, going to | gonna, got to | gotta, as soon as possible | asap, for example | e.g., versus | vs
approximately | approx, minutes | mins, hours | hrs, seconds | secs, thanks | thx, through | thru
continuous integration | ci, machine learning | ml, artificial intelligence | ai, large language model | llm
united states | us | usa, united kingdom | uk
"""

COMPOUNDS = """
top up | top-up | topup, top ups | top-ups, topped up | topped-up, email | e-mail, emails | e-mails, log in | login
sign up | signup | sign-up, set up | setup, back up | backup, check out | checkout, file name | filename | file-name
file names | filenames, user name | username, user names | usernames, web site | website, web page | webpage
data set | dataset, data sets | datasets, data base | database, time stamp | timestamp, sub directory | subdirectory
sub directories | subdirectories, sub folder | subfolder, command line | command-line | commandline
white space | whitespace, white spaces | whitespaces, new line | newline, new lines | newlines,
case insensitive | case-insensitive
case sensitive | case-sensitive, read only | read-only | readonly, non empty | non-empty | nonempty,
one liner | one-liner
real time | real-time | realtime, open source | open-source, key board | keyboard, web socket | websocket,
dark mode | darkmode
drop down | dropdown | drop-down, check box | checkbox, time zone | timezone, to do list | to-do list | todo list
credit card | creditcard, wi fi | wifi | wi-fi, ice cream | ice-cream, post code | postcode, part time | part-time
full time | full-time, long term | long-term, short term | short-term, multi line | multiline | multi-line
look up | lookup, roll back | rollback, life time | lifetime, check in | check-in, pre order | pre-order
re install | reinstall | re-install, co worker | coworker | co-worker, cash back | cashback | cash-back,
pay check | paycheck
"""

UNITS = """
ms | milliseconds | msec, s | seconds | sec | secs, min | minutes | mins, h | hours | hrs | hr, kb | kilobytes,
mb | megabytes
gb | gigabytes | gigs, tb | terabytes, km | kilometers | kilometres, cm | centimeters | centimetres, mm | millimeters
kg | kilograms | kilos, lb | pounds | lbs, oz | ounces, ft | feet, mph | miles per hour, ml | milliliters, % | percent
km/h | kilometers per hour | kph, dollars | bucks, seconds | secs, minutes | mins, hours | hrs
"""

NOT_BEFORE = {
    "way": "to too from more",
    "return": "a the an all only type value to",
    "index": "of out error",
    "charge": "me",
    "often": "do does did is are should can",
    "each": "other of",
    "every": "other second third",
    "more than": "one",
    "many": "times of days hours minutes",
    "wrong": "with",
    "library": "of",
    "email": "address addresses me you them",
    "e-mail": "address addresses",
    "list": "of comprehension comprehensions",
    "app": "store",
    "application": "form",
    "hang": "out up",
    "sort": "of",
    "block": "of device size",
    "screen": "session sessions",
    "share": "price prices",
    "issue": "a an the",
    "package": "manager managers",
    "stop": "words word sign",
}
"""A word keeps its place before these."""

NOT_AFTER = {
    "often": "how",
    "many": "how too so as",
    "large": "how",
    "big": "how",
    "fast": "how",
    "quickly": "how",
    "expensive": "how",
    "difficult": "how",
    "charge": "in free of a the",
    "cost": "does would will did it could",
    "list": "a the my this shopping linked to-do do wish grocery each of playlist mailing",
    "count": "the a word line",
    "share": "the a my",
    "order": "the a my in an of this",
    "index": "the an by",
    "book": "the a an this address",
    "block": "the a code this",
    "bill": "to",
    "print": "the",
    "return": "the tax in a flight",
    "returns": "tax the",
    "transfer": "a the my bank this money wire pending cash",
    "transfers": "bank my pending the",
    "deposit": "a the my cheque cash check direct",
    "register": "the a",
    "issue": "pull github open",
    "watch": "the my a",
    "sort": "a the of what some bubble merge quick heap",
    "application": "the",
    "come": "how",
    "place": "take took taking",
    "stop": "full bus",
    "empty": "an the all that is are if",
    "way": "no all by this one by-the on that the-same other half my",
    "increase": "an the",
    "reverse": "in the a",
    "image": "docker the disk container",
    "update": "the an",
    "start": "the",
    "clone": "a the",
    "copy": "a the",
    "repeat": "a",
    "but": "all",
    "package": "the a",
    "merge": "the a",
    "show": "tv the a",
    "shows": "tv the",
    "position": "current",
    "log": "the git",
    "job": "cron",
    "jobs": "cron",
    "script": "shell bash python",
    "string": "connection query",
    "parameter": "type",
    "request": "pull",
    "screen": "a",
}
"""A word keeps its place after these."""
