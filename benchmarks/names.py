"""What people and places are called in Australia and New Zealand, the commonest first."""

from typing import Final

_FIRST = """\
Jack Olivia William Charlotte Oliver Amelia Noah Isla Thomas Mia James Ava Lucas Grace Henry Chloe Ethan Sophie
Matthew Sarah Daniel Emma Michael Jessica David Emily Andrew Rebecca Peter Michelle Mark Nicole Paul Karen John
Margaret Robert Susan Christopher Jennifer Anthony Lisa Stephen Helen Benjamin Hannah Samuel Lauren Joshua Megan
Liam Ruby Cooper Matilda Hunter Willow Archie Evie Hugo Ivy Wei Mei Ming Ling Arjun Priya Rohan Ananya Nguyen Linh
Minh Thu Ali Fatima Mohammed Aisha Hassan Zahra Giovanni Maria Nikos Eleni Stavros Dimitra Siobhán Seán Aoife Zoë
Renée François José Aroha Tāne Mereana Wiremu Hine Rangi Kahu Manaia Ngaire Tama Moana Tūī Anahera Hōne Marama
Manawa Pania Sione Losa Tevita Lupe Mele Viliami Bronwyn Shane Kylie Trent Narelle Bruce Sheila Darren Leanne
"""

_LAST = """\
Smith Jones Williams Brown Wilson Taylor Johnson White Martin Anderson Thompson Nguyen Thomas Walker Harris Lee
Ryan Robinson Kelly King Davis Wright Evans Roberts Green Hall Wood Jackson Clarke Patel Khan Lewis James Phillips
Mason Mitchell Rogers Singh Turner Cooper Edwards Hill Campbell Moore Clark Baker Murphy Scott Watson Young Allen
Morris Parker Stewart Bell Chen Wang Li Zhang Liu Tran Le Pham Kaur Sharma Kumar O'Brien O'Connor O'Neill McDonald
McKenzie MacLeod Fraser Graham Hamilton Murray Russell Simpson Marshall Gibson Reid Ross Kennedy Hughes Price
Bennett Cook Cox Collins Carter Richards Ward Webb Hunt Palmer Mills Grant Knight Ellis Harvey Pearce Dixon Barnes
Chapman Matthews Foster Gray Shaw Holmes Hart Dunn Perry Fisher Black Stone Burns Gordon Duncan Ferguson Crawford
Papadopoulos Rossi Russo Romano Costa Ferrari Müller Schmidt Weber Kowalski Nowak Novák Horvat Petrović Ivanov
Smith-Jones Lee-Wong Ngata Tāwhai Parata Tūhoe Te-Ahu Waititi Rāwiri Hohepa Mahuta Henare Taumalolo Fonoti Tuala
Leota Faleolo Havili Latu Fifita Ah-Chee Hassan Rahman Ahmed Hussain Abdullah Santos Cruz Reyes Garcia Fernandez
"""

FIRST: Final = tuple(_FIRST.split())
LAST: Final = tuple(_LAST.split())

PLACES: Final = (
    # City, state or region, postcode, country, what its companies like to be called after.
    ("Sydney", "NSW", "2000", "AU", "Harbour"),
    ("Melbourne", "VIC", "3000", "AU", "Yarra"),
    ("Brisbane", "QLD", "4000", "AU", "Riverside"),
    ("Perth", "WA", "6000", "AU", "Swan"),
    ("Adelaide", "SA", "5000", "AU", "Torrens"),
    ("Hobart", "TAS", "7000", "AU", "Derwent"),
    ("Newcastle", "NSW", "2300", "AU", "Hunter"),
    ("Geelong", "VIC", "3220", "AU", "Bellarine"),
    ("Auckland", "Auckland", "1010", "NZ", "Waitematā"),
    ("Wellington", "Wellington", "6011", "NZ", "Cook Strait"),
    ("Christchurch", "Canterbury", "8011", "NZ", "Avon"),
    ("Hamilton", "Waikato", "3204", "NZ", "Waikato"),
    ("Dunedin", "Otago", "9016", "NZ", "Otago"),
)

STREETS: Final = ("High Street", "George Street", "Queen Street", "Station Road", "Victoria Avenue", "Church Lane")

ADJECTIVES: Final = (
    "Southern", "Northern", "Pacific", "Golden", "Coastal", "Alpine", "Rata", "Kauri", "Banksia", "Wattle", "Jarrah",
    "Bluegum", "Tui", "Kea", "Magpie", "Bellbird", "Lyrebird", "First", "United", "Premier", "Allied", "Heritage",
)  # fmt: skip

TRADES: Final = (
    "Plumbing", "Electrical", "Dairy", "Freight", "Dental", "Legal", "Accounting", "Roofing", "Nurseries", "Motors",
    "Timber", "Physio", "Logistics", "Orchards", "Realty", "Insurance", "Software", "Engineering", "Catering", "Health",
)  # fmt: skip

JOBS: Final = (
    "Director", "Office Manager", "Accountant", "Site Supervisor", "Receptionist", "Sales Manager", "Engineer", "Nurse",
    "Buyer", "Owner", "Principal", "Marketing Manager", "Technician", "Solicitor",
)  # fmt: skip

# Where private people have their mail; together 30% of all addresses.
PROVIDERS: Final = ("gmail.com", "bigpond.com", "xtra.co.nz", "outlook.com")

TAGS: Final = ("customer", "lead", "supplier", "newsletter", "vip", "overdue", "do-not-mail", "partner", "2025-expo")
