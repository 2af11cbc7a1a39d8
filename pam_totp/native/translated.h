/* What pam_totp.so itself says, in each language that there is. Written by: make po */

#ifndef PAM_TOTP_TRANSLATED_H
#define PAM_TOTP_TRANSLATED_H

#include "language.h"

static const struct translated translated[] = {
    {"",
     "Verification codes cannot be checked right now. An administrator can find the reason in the system log.",
     "Press Enter: "},
    {"de",
     "Best\303\244tigungscodes k\303\266nnen zurzeit nicht gepr\303\274ft werden. Ein Administrator findet den Grund im Systemprotokoll.",
     "Eingabetaste dr\303\274cken: "},
    {"fr",
     "Les codes de v\303\251rification ne peuvent pas \303\252tre contr\303\264l\303\251s pour le moment. Un administrateur peut en trouver la raison dans le journal syst\303\250me.",
     "Appuyez sur Entr\303\251e\302\240: "},
};

#endif
