#compdef carrier
# Completion of carrier for zsh: a file _carrier in a directory of $fpath, or source <(carrier completion zsh)

_carrier() {
    local line directive word meaning
    local -a found words_before
    words_before=("${(@Q)words[2,CURRENT-1]}")
    while IFS= read -r line; do
        if [[ $line == :* ]]; then
            directive=$line
            continue
        fi
        word=${line%%$'\t'*}
        meaning=${line#*$'\t'}
        # _describe parts a word from its meaning by a colon.
        word=${word//:/\\:}
        found+=("$word${meaning:+:$meaning}")
    done < <("${(Q)words[1]/#\~/$HOME}" __complete -- "${words_before[@]}" "${(Q)PREFIX}" 2>/dev/null)
    if (($#found)); then
        if [[ $directive == :nospace || ( $directive == :files && $found[1] == *\\: ) ]]; then
            _describe -t values carrier found -S ''
        else
            _describe -t values carrier found
        fi
    fi
    if [[ $directive == :files ]]; then
        [[ $PREFIX == --*=* ]] && compset -P '*='
        _files
    fi
}

if [[ $funcstack[1] == _carrier ]]; then
    _carrier "$@"
else
    compdef _carrier carrier
fi
