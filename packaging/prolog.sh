# Puts the guest agent of Vocable into a CernVM, whose contextualisation (that of HEPiX) copies this disc into a folder
# of root's and sources this file there: `. ./prolog.sh start`, and `stop` when the machine is switched off. So it must
# not exit. Some shells do not hand such words on.
if [ "${1:-start}" = start ] && [ -f ./vocable/install.sh ]; then
    # The credential is where the agent reads it now; the copy is not needed.
    sh ./vocable/install.sh && rm -rf ./vocable
fi
