# Completion of carrier for bash 4 and later: source <(carrier completion bash)

_carrier() {
    local rest=${COMP_LINE:0:COMP_POINT} word trimmed piece line directive i
    local -a words=()
    COMPREPLY=()
    # Readline breaks words at : and =, too. Those that no space parts are put together again.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        # The cursor may stand in the word.
        [[ $trimmed == "$word"* ]] || word=$trimmed
        if ((i > 0)) && [[ $rest == "$trimmed" ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        rest=${trimmed#"$word"}
        piece=$word
    done
    local last=${words[${#words[@]} - 1]}
    # What readline puts the answer behind.
    [[ $piece == [:=] ]] && piece=
    local before=${last%"$piece"}
    local program=${words[0]/#\~/$HOME}
    while IFS= read -r line; do
        case $line in
        :*) directive=$line ;;
        *)
            line=${line%%$'\t'*}
            COMPREPLY+=("${line#"$before"}")
            ;;
        esac
    done < <("$program" __complete -- "${words[@]:1}" 2>/dev/null)
    case $directive in
    :files)
        compopt -o filenames 2>/dev/null
        while IFS= read -r line; do
            COMPREPLY+=("$line")
        done < <(compgen -f -- "$piece")
        # A volume is followed by where it goes.
        [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *: ]] && compopt -o nospace 2>/dev/null
        ;;
    :nospace) compopt -o nospace 2>/dev/null ;;
    esac
    return 0
}

complete -F _carrier carrier
