"""Things of one kind, a line each: one in place of another makes another question; "=" joins names of one thing."""

from benchmarks.traps.words import word_set

TECHNOLOGY = """
Python=py, JavaScript=js, TypeScript=ts, Java, Go=golang, Rust, Ruby, PHP, C++=cpp, C#=csharp, Kotlin, Swift, \
Scala, Perl, Haskell, Lua, Dart, Elixir, Clojure, Julia, MATLAB, Fortran, COBOL, Erlang, OCaml, F#, Groovy, Zig
bash, zsh, PowerShell, cmd, tcsh, ksh, nushell
Linux, Windows, macOS=Mac=OS X, FreeBSD, Android, iOS
Ubuntu, Debian, Fedora, CentOS, Arch Linux, Alpine, Red Hat=RHEL, openSUSE, Mint
MySQL, PostgreSQL=Postgres=psql, SQLite, MongoDB=Mongo, Redis, Oracle, MariaDB, Cassandra, DynamoDB, \
Elasticsearch, SQL Server=MSSQL, Neo4j, BigQuery, Snowflake, CouchDB, ClickHouse
Django, Flask, FastAPI, Rails=Ruby on Rails, Laravel, Spring Boot, Express, NestJS, ASP.NET, Symfony
React, Angular, Vue, Svelte, Ember, Next.js, jQuery, SolidJS
AWS, Azure, GCP=Google Cloud, DigitalOcean, Heroku, Vercel, Netlify, Cloudflare, Hetzner
S3, Blob Storage, Google Cloud Storage, MinIO
Lambda, Azure Functions, Cloud Functions, Cloud Run
git, Mercurial, SVN=Subversion, Perforce
GitHub, GitLab, Bitbucket, Gitea
docker, podman, containerd, LXC
docker compose=docker-compose, docker swarm, Kubernetes=k8s, Nomad
Helm, kustomize, Terraform, Ansible, Pulumi, Puppet, CloudFormation
npm, yarn, pnpm, bun
pip, conda, poetry, pipenv, uv
apt=apt-get, yum, dnf, pacman, brew=homebrew, zypper, snap
Maven, Gradle, Bazel, CMake
pytest, unittest, nose, jest, mocha, JUnit, RSpec, Cypress
ESLint, Prettier, Pylint, Flake8, Black, ruff, mypy
NumPy, pandas, polars, SciPy, Dask
PyTorch, TensorFlow, Keras, JAX, scikit-learn=sklearn, XGBoost
matplotlib, seaborn, plotly, ggplot2, D3
Kafka, RabbitMQ, SQS, NATS, ActiveMQ
nginx, Apache, Caddy, HAProxy, Traefik, IIS
grep, sed, awk, find, xargs, cut, tr
vim, Emacs, nano, VS Code=vscode, IntelliJ, PyCharm, Sublime Text, Neovim
Chrome, Firefox, Safari, Edge, Opera, Brave
gzip, bzip2, xz, zstd, 7zip
tar, zip, rar
ssh, ftp, sftp, telnet, rsync, scp
curl, wget, httpie
tmux, screen
cron, systemd, launchd, supervisord
iptables, ufw, firewalld, nftables
REST, GraphQL, gRPC, SOAP
HTTP, HTTPS, FTP, SMTP, MQTT
TCP, UDP, QUIC
IPv4, IPv6
OAuth, SAML, LDAP, Kerberos
MD5, SHA-1, SHA-256, SHA-512, bcrypt
AES, RSA, Blowfish
UTF-8, UTF-16, ASCII, Latin-1
GET, POST, PUT, PATCH
INNER JOIN, LEFT JOIN, RIGHT JOIN, FULL OUTER JOIN, CROSS JOIN
Jenkins, CircleCI, Travis CI, GitHub Actions, GitLab CI, TeamCity
Grafana, Kibana, Datadog, New Relic
Excel, Google Sheets, LibreOffice Calc
Word, Google Docs, LaTeX, Markdown
Photoshop, GIMP, Illustrator, Figma, Inkscape
Slack, Microsoft Teams, Discord, Zoom, Skype
Gmail, Outlook, Thunderbird
WhatsApp, Telegram, iMessage
iPhone, iPad, Kindle, Pixel
ChatGPT, Claude, Gemini, Copilot
WordPress, Drupal, Joomla, Shopify, Wix
Unity, Unreal Engine, Godot
Arduino, Raspberry Pi, ESP32
"""

FORMATS = """
JSON, CSV, XML, YAML, TOML, HTML, Parquet, PDF
JPEG=JPG, PNG, GIF, SVG, WebP, BMP, TIFF
MP3, WAV, FLAC, OGG, AAC
MP4, AVI, MKV, MOV
"""

NAMES = """
France, Germany, Italy, Spain, Portugal, Poland, Austria, Greece, Sweden, Norway, Denmark, Finland, Ireland, \
the UK, the USA=the US, Canada, Mexico, Brazil, Argentina, Chile, Peru, Japan, China, India, Vietnam, Thailand, \
Australia, New Zealand, South Africa, Egypt, Kenya, Nigeria, Morocco, Israel, Iran, Russia, Ukraine, Turkey, \
Switzerland, the Netherlands=Holland, Belgium, Hungary, Cuba, Iceland
French, German, Italian, Spanish, Portuguese, Polish, Japanese, Chinese, Indian, Mexican, Brazilian, Canadian, \
Australian, British, American, Russian, Greek, Thai, Korean
Paris, London, Berlin, Rome, Madrid, Lisbon, Vienna, Prague, Dublin, Oslo, Stockholm, Athens, Moscow, Tokyo, \
Beijing, Shanghai, Delhi, Mumbai, Bangkok, Sydney, Melbourne, Cairo, Nairobi, Toronto, Montreal, Vancouver, \
New York=NYC, Los Angeles, Chicago, Boston, Seattle, San Francisco, Miami, Dallas, Houston, Denver, Atlanta, \
Las Vegas, Philadelphia, Portland, Detroit, Austin, Phoenix, Orlando, Amsterdam, Barcelona, Munich, Istanbul, \
Dubai, Singapore, Hong Kong
California, Texas, Florida, Ohio, Nevada, Oregon, Utah, Arizona, Colorado, Alaska, Hawaii, Michigan, Virginia, Montana
Europe, Asia, Africa, South America, North America, Antarctica
Google, Amazon, Microsoft, Apple, Facebook, Netflix, Uber, Tesla, IBM, Intel, Nvidia, Samsung, Sony, Toyota, \
Ford, Honda, BMW, Walmart, Starbucks, McDonald's, Target, Costco, Ikea, Nike
Visa, Mastercard, American Express=Amex, PayPal, Apple Pay, Google Pay
Chase, Barclays, Santander, HSBC, Wells Fargo, Bank of America, Citibank
Twitter, Instagram, TikTok, Reddit, LinkedIn, YouTube, Pinterest, Quora, Snapchat
Spotify, Pandora, Apple Music, Deezer
Mercury, Venus, Mars, Jupiter, Saturn, Uranus, Neptune, Pluto
Christmas, Easter, Thanksgiving, Halloween, New Year's Eve, Valentine's Day
Einstein, Newton, Darwin, Galileo, Tesla, Curie
Shakespeare, Tolstoy, Dickens, Hemingway, Orwell
Picasso, Monet, Rembrandt, van Gogh, Dali
Delta, United Airlines, American Airlines, Lufthansa, Ryanair
Harvard, Stanford, Yale, Princeton, MIT, Oxford, Cambridge
"""

THINGS = """
red, blue, green, yellow, purple, pink, black, white, brown, grey=gray
gold, silver, copper, platinum, iron, aluminium=aluminum, lead
oxygen, hydrogen, nitrogen, carbon dioxide, helium
cat, dog, rabbit, hamster, horse, parrot, goldfish
cow, pig, sheep, goat, chicken
lion, tiger, elephant, giraffe, wolf, bear, shark, whale
apple, banana, mango, pear, peach, lemon, strawberry
beef, pork, chicken, lamb, salmon, tofu, tuna
bread, rice, pasta, pizza, soup, salad, cake, pancake
butter, olive oil, margarine, coconut oil
coffee, tea, beer, wine, juice, water, milk
breakfast, lunch, dinner
sugar, salt, flour, honey, pepper
arm, leg, knee, shoulder, elbow, wrist, ankle, hip
kidney, liver, lung, stomach, heart
ear, eye, nose, throat, tooth
guitar, piano, violin, drum, flute, ukulele
football, basketball, tennis, golf, baseball, hockey, volleyball
circle, square, triangle, rectangle, cube, sphere, cylinder, cone
area, perimeter, volume, diameter, radius
average, median, variance, standard deviation
addition, subtraction, multiplication, division
flu, cold, measles, malaria, pneumonia
morning, afternoon, evening
kitchen, bathroom, bedroom, living room, garage
bus, train, plane, taxi, ferry
mathematics=math=maths, physics, chemistry, biology, history, economics
"""

LANGUAGES = """
English, French, German, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Chinese=Mandarin, Japanese, \
Korean, Arabic, Hindi, Turkish, Swedish, Greek, Latin, Hebrew
"""

OBJECTS = """
file, folder=directory, symlink=symbolic link, partition
branch, tag, commit, repository=repo, remote, submodule, stash
pull request=PR, issue, release, fork
table, column, index, view, schema, trigger, stored procedure
database=db, table, user
row, column, cell, sheet
container, image, volume, network
pod, deployment, service, namespace, node, secret, config map, ingress
bucket, instance, security group, key pair, load balancer, subnet
function, class, module, variable, method, interface, package, enum
list, dictionary=dict, tuple, set, string, array, linked list, queue, stack, heap, hash table, binary tree
integer, float, boolean, decimal
line, word, character, paragraph, byte
process, thread, service, job
user, group, role
array, object, string, map
date, timestamp, time zone
button, link, checkbox, image, form, menu, dropdown
page, tab, window, bookmark, extension
hostname, ip address, mac address, port, subnet mask, gateway
owner, group, permission, timestamp, inode
unit test, integration test, benchmark
warning, error, exception
password, username, email address, phone number, pin, profile picture, home address
debit card, credit card, virtual card, gift card, disposable card
savings account, checking account, joint account, business account
bank transfer, direct debit, cash withdrawal, card payment, cheque deposit, top-up
transfer, payment, withdrawal, top up, deposit, refund
passport, visa, driving licence=driver's license, id card, birth certificate
flight, hotel, train ticket, rental car, table for two
alarm, timer, reminder, calendar event, appointment, meeting
song, album, playlist, podcast, audiobook
movie, tv show, book, video game
electric bill=electricity bill, water bill, gas bill, phone bill, cable bill
oil, tire, battery, brake, windshield wiper, spark plug, air filter
fee, limit, exchange rate, interest rate
shopping list, to do list=to-do list
receipt, invoice, contract, payslip
printer, scanner, router, webcam, keyboard, monitor
credit score, credit limit, account balance, interest rate
vacation day, sick day, public holiday
email, text message, letter, voicemail
essay, poem, story, report, speech
house, apartment, car, boat
weather, traffic, news
w2, tax return, bank statement
phone, laptop, tablet, watch
contrast, brightness, volume
"""

QUALITIES = """
empty, hidden, executable, compressed, encrypted, duplicate, unused, outdated, read-only, corrupted, binary, temporary
"""

CURRENCIES = """
dollars=us dollars, euros, pounds=british pounds, yen, rupees, swiss francs, canadian dollars
USD, EUR, GBP, JPY, INR, CHF, CAD, AUD
dollar, euro, pound, yen, rupee, peso
"""

UNITS = """
milliseconds=ms=millisecond, seconds=secs=sec=s, minutes=mins=min, hours=hrs=hr=h
hours=hour, days=day, weeks=week, months=month, years=year
mm=millimeters=millimetres, cm=centimeters=centimetres=centimeter, inches=inch, feet=foot=ft, yards=yard, \
meters=metres=meter=metre=m, kilometers=kilometres=km=kilometer, miles=mile
mg=milligrams, grams=gram=g, ounces=ounce=oz, pounds=lbs=lb, kilograms=kilos=kg=kilogram, tons=tonnes
bytes=byte, KB=kilobytes=kilobyte, MB=megabytes=megabyte, GB=gigabytes=gigabyte, TB=terabytes=terabyte
ml=milliliters=millilitres, teaspoons=teaspoon=tsp, tablespoons=tablespoon=tbsp, cups=cup, pints=pint, \
liters=litres=liter=litre, gallons=gallon
Celsius=centigrade, Fahrenheit, Kelvin
mph, km/h=kph, knots
degrees, radians
watts=watt, kilowatts=kw
volts, amps
mbps, gbps, kbps
"""
_SHORT = """
milliseconds ms, seconds s, minutes min, hours h, inches in, grams g, kilograms kg, ounces oz, pounds lb, feet ft,
meters m, kilometers km, millimeters mm, centimeters cm, miles mi, liters l, milliliters ml, gallons gal, teaspoons
tsp, tablespoons tbsp, mm mm, cm cm, mg mg, KB kb, MB mb, GB gb, TB tb, mbps mbps, gbps gbps, kbps kbps, mph mph
"""
SHORT_UNITS = dict(pair.split() for pair in _SHORT.split(","))

ONLY_AFTER_A_NUMBER = word_set("s h m g min sec mins secs hr hrs second minute pounds lb oz ft foot feet tons degrees")

ONLY_CAPITALISED = word_set("""
    go rust ruby swift dart julia oracle express spring edge opera brave word excel screen find cut tr black pixel make
    apple target turkey china mint alpine rest get put post patch delta chase phoenix mercury mars ford unity lambda
    snap discord ant helm bun uv poetry puppet snowflake d3 nose mac cmd united intel oracle go uber ember lead
    """)
"""Names that are plain words in small letters: names in the middle of a sentence only."""

WRITTEN_IN_CAPITALS = frozenset({"REST", "GET", "POST", "PUT", "PATCH"})

PARTS_OF_NAMES = """
    user order customer account product item
    get set update delete create
    id name key code type
    first last next
    start end
    src dst dest
    source target
    input output
    test prod dev staging
    src lib bin tests docs
    main master develop feature
    min max avg
    name email phone address
    log txt csv json xml yaml md
    jpg png gif svg
    py js ts rb go java php
    gz bz zip xz
    html css
    mp mov avi
    cpp hpp cc
    home usr var etc opt tmp
    log logs cache lib run
    read write
    config settings options
    list map dict array
    foo bar baz qux
    data info meta
    com org net io
    api app www
    public private
    old new
    left right
    width height
    row col
    created updated deleted
    client server
    host port
    image video audio
    local remote
    staging production
    january february march
    hello goodbye
    world there
    error warning info
    true false
    yes no
    red blue green
    string int float bool
    begin finish
"""

FLAGS = """
    hard soft mixed
    global local system
    force dry-run
    verbose quiet
    all none
    include exclude
    ignore-case word-regexp
    rebase merge no-ff
    cached staged
    amend fixup
    ours theirs
    recursive no-recursive
    user upgrade
    save save-dev
    rm detach
    watch once
    prune aggressive
"""
