"""Well-known names that people type in any case: technologies by kind, and natural languages."""

from __future__ import annotations

from workbench.cache.slots.lexicon import alias_table, word_set

_KINDS = {
    "language": """
        python py python3 python2 cpython
        javascript js ecmascript
        typescript ts
        java
        kotlin
        scala
        groovy
        clojure
        c++ cpp
        c# csharp
        f# fsharp
        go golang
        rust
        ruby
        perl
        php
        swift
        objective-c objc
        haskell
        erlang
        elixir
        ocaml
        lua
        julia
        matlab
        fortran
        cobol
        dart
        solidity
        lisp
        prolog
        vba
        assembly
        r
        c
    """,
    "shell": """
        bash
        zsh
        powershell pwsh
        fish
        cmd cmd.exe
    """,
    "database": """
        postgresql postgres psql pg
        mysql
        mariadb
        sqlite sqlite3
        mongodb mongo
        redis
        memcached
        cassandra
        dynamodb
        elasticsearch opensearch
        oracle
        snowflake
        bigquery
        redshift
        clickhouse
        duckdb
        neo4j
        couchdb
        influxdb
    """,
    "web framework": """
        django
        flask
        fastapi
        rails
        laravel
        symfony
        express express.js expressjs
        spring spring-boot
        asp.net
        starlette
        tornado
    """,
    "frontend": """
        react react.js reactjs
        vue vue.js vuejs
        angular angularjs
        svelte
        jquery
        next.js nextjs
        nuxt nuxt.js
        solidjs
        flutter
        electron
    """,
    "system": """
        windows win10 win11
        macos mac osx
        linux
        android
        ios
        freebsd
        wsl wsl2
    """,
    "distribution": """
        ubuntu
        debian
        fedora
        centos
        rhel
        arch
        alpine
    """,
    "cloud": """
        aws
        azure
        gcp
        heroku
        digitalocean
        cloudflare
        vercel
        netlify
    """,
    "containers": """
        docker
        kubernetes k8s
        podman
        docker-compose
        helm
        nomad
    """,
    "version control": """
        git
        mercurial hg
        svn subversion
    """,
    "hosting": """
        github
        gitlab
        bitbucket
    """,
    "packages": """
        pip
        conda
        poetry
        uv
        npm
        yarn
        pnpm
        apt apt-get
        dnf
        yum
        brew homebrew
        pacman
        cargo
        maven
        gradle
        composer
    """,
    "deployment": """
        terraform
        ansible
        puppet
        pulumi
        cloudformation
    """,
    "builds": """
        jenkins
        circleci
        travis
    """,
    "editor": """
        vim
        neovim nvim
        emacs
        nano
        vscode
        pycharm
        intellij
        sublime
        xcode
    """,
    "browser": """
        chrome
        firefox
        safari
        edge
        chromium
    """,
    "tables": """
        pandas
        polars
        numpy
        excel
    """,
    "learning": """
        pytorch torch
        tensorflow
        keras
        jax
        scikit-learn sklearn
        xgboost
    """,
    "queue": """
        kafka
        rabbitmq
        sqs
        nats
    """,
    "web server": """
        nginx
        apache
        caddy
        haproxy
        traefik
    """,
    "testing": """
        pytest
        unittest
        jest
        vitest
        mocha
        junit
    """,
    "text tool": """
        sed
        awk
        grep
        ripgrep
        jq
    """,
    "transfer": """
        curl
        wget
        rsync
        scp
        sftp
    """,
}

TECHNOLOGIES = {alias: (name, kind) for kind, lines in _KINDS.items() for alias, name in alias_table(lines).items()}
"""Name in lower case → (its canonical name, its kind)."""

AMBIGUOUS = word_set(
    "go rust swift ruby dart r c julia spring express flask oracle windows mac edge safari arch fish cmd helm nano "
    "torch composer puppet assembly excel sublime jest mocha alpine rails react solidity ts py pg snowflake go. basic"
)
"""Ordinary words too: a technology only after one of `BEFORE_A_TECHNOLOGY`, or with a capital inside a sentence."""
BEFORE_A_TECHNOLOGY = word_set("in using with for on under via from to into use vs or and my")

LANGUAGES = alias_table("""
    english
    spanish español castilian
    french français
    german deutsch
    italian
    portuguese
    dutch
    polish
    russian
    ukrainian
    czech
    greek
    turkish
    arabic
    hebrew
    persian farsi
    hindi
    urdu
    bengali
    tamil
    chinese mandarin
    cantonese
    japanese
    korean
    vietnamese
    thai
    indonesian
    malay
    swahili
    latin
    swedish
    norwegian
    danish
    finnish
    hungarian
    romanian
    catalan
    irish
    welsh
""")
